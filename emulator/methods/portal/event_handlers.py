"""event.bind and the like: handlers of events. Documentation: events/."""

from collections.abc import Callable

from emulator.entities.entity import EVENTS
from emulator.entities.multifields import positive_int
from emulator.errors import RestError
from emulator.events.online import OFFLINE_EVENT
from emulator.methods import record_events
from emulator.methods.call import Call, MethodResult
from emulator.validators import is_web_address


def bind(call: Call) -> MethodResult:
    """event.bind: true; a real portal allows it to applications only (setting `event_bind`)."""
    event = _event(call)
    url = call.argument("handler")
    portal = call.portal
    if call.argument("event_type") == "offline":
        text = "Access denied! Offline events binding requires administrator access rights"
        call.require_admin(text, status=403)
        portal.offline.bind(event, call.application)
        return MethodResult(result=True)
    if not is_web_address(url):
        raise RestError("ERROR_ARGUMENT", "Argument 'handler' is null or empty")
    auth_type = _auth_type(call) or 0
    if auth_type not in (0, call.user):
        text = "Access denied! Event binding with AUTH_TYPE requires administrator access rights"
        call.require_admin(text, status=403)
    bound = (
        (handler.event, handler.url, handler.auth_type) for handler in portal.events.handlers()
    )
    if (event, url, auth_type) in bound:
        raise RestError("ERROR_CORE", "Unable to set event handler: Handler already binded")
    portal.events.bind(event, str(url), auth_type, _min_timeout(call))
    return MethodResult(result=True)


def unbind(call: Call) -> MethodResult:
    """event.unbind: the number of handlers removed."""
    event = _event(call)
    url = call.argument("handler")
    if call.argument("event_type") == "offline":
        text = "Access denied! Offline events unbinding requires administrator access rights"
        call.require_admin(text, status=403)
        return MethodResult({"count": call.portal.offline.unbind(event, call.application)})
    address = url if isinstance(url, str) else None
    count = call.portal.events.unbind(event, address, _auth_type(call))
    return MethodResult({"count": count})


def get(call: Call) -> MethodResult:
    """event.get: the current handlers."""
    require_events_allowed(call)
    handlers = call.portal.events.handlers()
    online = [
        {
            "event": handler.event,
            "handler": handler.url,
            "auth_type": str(handler.auth_type),
            "offline": 0,
        }
        for handler in handlers
    ]
    offline = [
        {"event": event, "connector_id": application, "offline": 1}
        for event, application in call.portal.offline.handlers()
    ]
    return MethodResult([*online, *offline])


def events(_: Call) -> MethodResult:
    """The names of the events that this portal has."""
    return MethodResult([*EVENTS, *record_events.EVENTS, OFFLINE_EVENT])


def require_events_allowed(call: Call) -> None:
    """Raise RestError if the portal lets only applications use events."""
    if call.portal.settings.event_bind != "allowed":
        raise RestError("WRONG_AUTH_TYPE", "Current authorization type is denied", 403)


def _auth_type(call: Call) -> int | None:
    """The user whose token a handler gets; 0: the author of the write; None: not sent."""
    sent = call.argument("auth_type")
    return None if sent is None else positive_int(sent) or 0


def _min_timeout(call: Call) -> float:
    """Seconds between two calls of a handler of ONOFFLINEEVENT (events/on-offline-event.md)."""
    options = call.argument("options")
    return positive_int(options.get("minTimeout") if isinstance(options, dict) else None) or 1


def _event(call: Call) -> str:
    require_events_allowed(call)
    event = str(call.argument("event") or "").upper()
    if event not in (*EVENTS, *record_events.EVENTS, OFFLINE_EVENT):
        raise RestError("ERROR_EVENT_NOT_FOUND", "Event not found")
    return event


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "event.bind": bind,
    "event.unbind": unbind,
    "event.get": get,
    "events": events,
}
