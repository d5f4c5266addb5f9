"""The REST methods by name; each takes the portal and its parameters and gives an Answer."""

from collections.abc import Callable

from local.bitrix24.methods import about, duplicates, event_handlers, items, lead_methods, lists
from local.bitrix24.methods.answer import Answer
from local.bitrix24.params import Params
from local.bitrix24.portal import Portal

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
