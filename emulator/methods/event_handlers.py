"""event.*: who is told about writes, at once or when asked."""

from emulator.checks import is_web_address
from emulator.clock import iso
from emulator.errors import RestError
from emulator.events.online import LEAD_EVENTS
from emulator.http.params import Params
from emulator.leads.multifields import whole
from emulator.leads.query import argument, connector
from emulator.methods.result import Answer
from emulator.portal import Portal

_PAGE = 50


def bind(portal: Portal, params: Params) -> Answer:
    """event.bind: true; a real portal allows it to applications only (switch `event_bind`)."""
    event, url = _event(portal, params), argument(params, "handler")
    if argument(params, "event_type") == "offline":
        portal.offline.bind(event, connector(params))
        return Answer(result=True)
    if not is_web_address(url):
        raise RestError("ERROR_ARGUMENT", "Argument 'handler' is null or empty")
    if any((each.event, each.url) == (event, url) for each in portal.announcer.handlers()):
        raise RestError("ERROR_CORE", "Unable to set event handler: Handler already binded")
    portal.announcer.bind(event, str(url))
    return Answer(result=True)


def unbind(portal: Portal, params: Params) -> Answer:
    """event.unbind: how many handlers are gone."""
    event, url = _event(portal, params), argument(params, "handler")
    if argument(params, "event_type") == "offline":
        return Answer({"count": portal.offline.unbind(event, connector(params))})
    count = portal.announcer.unbind(event, url if isinstance(url, str) else None)
    return Answer({"count": count})


def get(portal: Portal, _: Params) -> Answer:
    """event.get: the handlers in force."""
    _demand_allowed(portal)
    handlers = portal.announcer.handlers()
    online = [{"event": each.event, "handler": each.url, "auth_type": "0"} for each in handlers]
    offline = [
        {"event": event, "connector_id": name, "offline": 1}
        for event, name in portal.offline.handlers()
    ]
    return Answer([*online, *offline])


def events(_: Portal, __: Params) -> Answer:
    """The names of the events that this portal has."""
    return Answer(list(LEAD_EVENTS))


def offline_get(portal: Portal, params: Params) -> Answer:
    """event.offline.get: what changed; read once, or with clear=0 reserved until cleared."""
    _demand_allowed(portal)
    clear = argument(params, "clear") not in (0, "0", False)
    process_id, rows = portal.offline.take(connector(params), _limit(params), clear=clear)
    events = [
        {
            "ID": str(each.id),
            "TIMESTAMP_X": iso(each.time),
            "EVENT_NAME": each.event,
            "EVENT_DATA": {"FIELDS": {"ID": str(each.lead_id)}},
            "EVENT_ADDITIONAL": False,
            "MESSAGE_ID": str(each.id),
        }
        for each in rows
    ]
    return Answer({"process_id": process_id, "events": events})


def offline_clear(portal: Portal, params: Params) -> Answer:
    """event.offline.clear: what was reserved is done with."""
    _demand_allowed(portal)
    process_id = argument(params, "process_id")
    if not isinstance(process_id, str) or not process_id:
        raise RestError("PROCESS_ID_REQUIRED", "Process ID is required")
    portal.offline.clear(process_id)
    return Answer(result=True)


def _limit(params: Params) -> int:
    return min(whole(argument(params, "limit")) or _PAGE, 10 * _PAGE)


def _event(portal: Portal, params: Params) -> str:
    _demand_allowed(portal)
    event = str(argument(params, "event") or "").upper()
    if event not in LEAD_EVENTS:
        raise RestError("ERROR_EVENT_NOT_FOUND", "Event not found")
    return event


def _demand_allowed(portal: Portal) -> None:
    if portal.settings.event_bind != "allowed":
        raise RestError("WRONG_AUTH_TYPE", "Current authorization type is denied", 403)


METHODS = {
    "event.bind": bind,
    "event.unbind": unbind,
    "event.get": get,
    "events": events,
    "event.offline.get": offline_get,
    "event.offline.clear": offline_clear,
}
