"""app.option.* and user.option.*: settings that an application stores in the portal.

A real portal answers applications only (setting `application_methods`). Documentation:
common/settings/.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult

_OPTIONS_MAX = 100


def get(family: str, call: Call) -> MethodResult:
    """All options, or the value of one."""
    require_application(call)
    _, options = _find_options(family, call)
    name = call.argument("option")
    return MethodResult(options if name in (None, "") else options.get(str(name), ""))


def put(family: str, call: Call) -> MethodResult:
    """Change the sent options, and keep all others; returns true."""
    require_application(call)
    sent = call.argument("options")
    if not isinstance(sent, dict) or not sent:
        raise RestError("ArgumentNullException", "options is empty")
    number, options = _find_options(family, call)
    changed = dict(list({**options, **sent}.items())[:_OPTIONS_MAX])
    record = {"user": _owner(family, call), "options": changed}
    if number:
        call.portal.records.put(family, number, record)
    else:
        call.portal.records.add(family, record)
    return MethodResult(result=True)


def require_application(call: Call) -> None:
    """Raise RestError if only applications may call a method."""
    if call.portal.settings.application_methods != "allowed":
        raise RestError("AccessException", "Application context required", 403)


def _owner(family: str, call: Call) -> int:
    """The user whose options they are; 0 for those of the application."""
    return call.user if family.startswith("user") else 0


def _find_options(family: str, call: Call) -> tuple[int, dict[str, Any]]:
    """The record's number and its options; 0 and no options if nothing was stored."""
    for number, record in call.portal.records.all(family).items():
        if record["user"] == _owner(family, call):
            return number, record["options"]
    return 0, {}


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    f"{family}.{verb}": partial(method, family)
    for family in ("app.option", "user.option")
    for verb, method in (("get", get), ("set", put))
}
