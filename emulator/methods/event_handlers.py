"""event.*: handlers of lead events, and offline events."""

from emulator.clock import iso
from emulator.errors import RestError
from emulator.events.online import LEAD_EVENTS
from emulator.http.params import Params
from emulator.leads.multifields import positive_int
from emulator.leads.query import argument, connector
from emulator.methods.result import MethodResult
from emulator.portal import Portal
from emulator.validators import is_web_address

_PAGE = 50


def bind(portal: Portal, params: Params) -> MethodResult:
    """event.bind: true; a real portal allows it to applications only (setting `event_bind`)."""
    event, url = _event(portal, params), argument(params, "handler")
    if argument(params, "event_type") == "offline":
        portal.offline.bind(event, connector(params))
        return MethodResult(result=True)
    if not is_web_address(url):
        raise RestError("ERROR_ARGUMENT", "Argument 'handler' is null or empty")
    if any((each.event, each.url) == (event, url) for each in portal.events.handlers()):
        raise RestError("ERROR_CORE", "Unable to set event handler: Handler already binded")
    portal.events.bind(event, str(url))
    return MethodResult(result=True)


def unbind(portal: Portal, params: Params) -> MethodResult:
    """event.unbind: the number of handlers removed."""
    event, url = _event(portal, params), argument(params, "handler")
    if argument(params, "event_type") == "offline":
        return MethodResult({"count": portal.offline.unbind(event, connector(params))})
    count = portal.events.unbind(event, url if isinstance(url, str) else None)
    return MethodResult({"count": count})


def get(portal: Portal, _: Params) -> MethodResult:
    """event.get: the current handlers."""
    _require_events_allowed(portal)
    handlers = portal.events.handlers()
    online = [{"event": each.event, "handler": each.url, "auth_type": "0"} for each in handlers]
    offline = [
        {"event": event, "connector_id": name, "offline": 1}
        for event, name in portal.offline.handlers()
    ]
    return MethodResult([*online, *offline])


def events(_: Portal, __: Params) -> MethodResult:
    """The names of the events that this portal has."""
    return MethodResult(list(LEAD_EVENTS))


def offline_get(portal: Portal, params: Params) -> MethodResult:
    """event.offline.get: queued events, removed, or with clear=0 reserved until cleared."""
    _require_events_allowed(portal)
    clear = argument(params, "clear") not in (0, "0", False)
    process_id, rows = portal.offline.fetch(connector(params), _limit(params), clear=clear)
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
    return MethodResult({"process_id": process_id, "events": events})


def offline_clear(portal: Portal, params: Params) -> MethodResult:
    """event.offline.clear: remove reserved events."""
    _require_events_allowed(portal)
    process_id = argument(params, "process_id")
    if not isinstance(process_id, str) or not process_id:
        raise RestError("PROCESS_ID_REQUIRED", "Process ID is required")
    portal.offline.clear(process_id)
    return MethodResult(result=True)


def _limit(params: Params) -> int:
    return min(positive_int(argument(params, "limit")) or _PAGE, 10 * _PAGE)


def _event(portal: Portal, params: Params) -> str:
    _require_events_allowed(portal)
    event = str(argument(params, "event") or "").upper()
    if event not in LEAD_EVENTS:
        raise RestError("ERROR_EVENT_NOT_FOUND", "Event not found")
    return event


def _require_events_allowed(portal: Portal) -> None:
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
