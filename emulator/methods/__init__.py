"""The REST methods by name; each takes the portal and parameters and returns a MethodResult."""

from collections.abc import Callable

from emulator.http.params import Params
from emulator.methods import duplicates, event_handlers, items, lead_methods, lists, portal_info
from emulator.methods.result import MethodResult
from emulator.portal import Portal

Method = Callable[[Portal, Params], MethodResult]

METHODS: dict[str, Method] = {
    **lead_methods.METHODS,
    **items.METHODS,
    **lists.METHODS,
    **duplicates.METHODS,
    **event_handlers.METHODS,
    **portal_info.METHODS,
}


def _methods(_: Portal, __: Params) -> MethodResult:
    return MethodResult(sorted([*METHODS, "batch"]))


METHODS["methods"] = _methods
