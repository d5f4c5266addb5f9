"""event.bind, event.unbind, event.get: who is told about writes."""

from local.bitrix24.checks import is_web_address
from local.bitrix24.errors import RestError
from local.bitrix24.events import LEAD_EVENTS
from local.bitrix24.leads.query import argument
from local.bitrix24.methods.answer import Answer
from local.bitrix24.params import Params
from local.bitrix24.portal import Portal


def bind(portal: Portal, params: Params) -> Answer:
    """event.bind: true; a real portal allows it to applications only (switch `event_bind`)."""
    event, url = _event(portal, params), argument(params, "handler")
    if not is_web_address(url):
        raise RestError("ERROR_ARGUMENT", "Argument 'handler' is null or empty")
    if any((each.event, each.url) == (event, url) for each in portal.announcer.handlers()):
        raise RestError("ERROR_CORE", "Unable to set event handler: Handler already binded")
    portal.announcer.bind(event, str(url))
    return Answer(result=True)


def unbind(portal: Portal, params: Params) -> Answer:
    """event.unbind: how many handlers are gone."""
    event, url = _event(portal, params), argument(params, "handler")
    count = portal.announcer.unbind(event, url if isinstance(url, str) else None)
    return Answer({"count": count})


def get(portal: Portal, _: Params) -> Answer:
    """event.get: the handlers in force."""
    _demand_allowed(portal)
    handlers = portal.announcer.handlers()
    return Answer(
        [{"event": each.event, "handler": each.url, "auth_type": "0"} for each in handlers]
    )


def events(_: Portal, __: Params) -> Answer:
    """The names of the events that this portal has."""
    return Answer(list(LEAD_EVENTS))


def _event(portal: Portal, params: Params) -> str:
    _demand_allowed(portal)
    event = str(argument(params, "event") or "").upper()
    if event not in LEAD_EVENTS:
        raise RestError("ERROR_EVENT_NOT_FOUND", "Event not found")
    return event


def _demand_allowed(portal: Portal) -> None:
    if portal.settings.event_bind != "allowed":
        raise RestError("WRONG_AUTH_TYPE", "Current authorization type is denied", 403)


METHODS = {"event.bind": bind, "event.unbind": unbind, "event.get": get, "events": events}
