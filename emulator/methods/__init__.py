"""The REST methods by name; each takes the portal and its parameters and gives an Answer."""

from collections.abc import Callable

from emulator.http.params import Params
from emulator.methods import about, duplicates, event_handlers, items, lead_methods, lists
from emulator.methods.result import Answer
from emulator.portal import Portal

Method = Callable[[Portal, Params], Answer]

METHODS: dict[str, Method] = {
    **lead_methods.METHODS,
    **items.METHODS,
    **lists.METHODS,
    **duplicates.METHODS,
    **event_handlers.METHODS,
    **about.METHODS,
}


def _methods(_: Portal, __: Params) -> Answer:
    return Answer(sorted([*METHODS, "batch"]))


METHODS["methods"] = _methods
