"""The REST methods by name; each takes a call and returns a MethodResult.

The docstring of a method names it and its result: `crm.lead.update: true`.
"""

from collections.abc import Callable

from emulator.methods.call import Call, MethodResult
from emulator.methods.families import (
    addresses,
    currencies,
    duplicate_fields,
    preset_fields,
    requisite_links,
    requisites,
    workspaces,
)
from emulator.methods.objects import (
    bindings,
    by_type,
    duplicates,
    imports,
    item_product_rows,
    items,
    lists,
    merge,
    product_rows,
    stage_history,
)
from emulator.methods.portal import event_handlers, offline_events, options, portal_info, users
from emulator.methods.setup import (
    card_forms,
    categories,
    smart_processes,
    statuses,
    userfield_configs,
    userfield_info,
    userfields,
)
from emulator.methods.timeline import (
    activities,
    activity_bindings,
    activity_types,
    comments,
    notes,
    pictures,
)

#: A REST method; raises RestError.
Method = Callable[[Call], MethodResult]

METHODS: dict[str, Method] = {
    **by_type.METHODS,
    **items.METHODS,
    **lists.METHODS,
    **imports.METHODS,
    **merge.METHODS,
    **bindings.METHODS,
    **product_rows.METHODS,
    **item_product_rows.METHODS,
    **duplicates.METHODS,
    **stage_history.METHODS,
    **statuses.METHODS,
    **categories.METHODS,
    **card_forms.METHODS,
    **smart_processes.METHODS,
    **userfields.METHODS,
    **userfield_configs.METHODS,
    **userfield_info.METHODS,
    **requisites.METHODS,
    **preset_fields.METHODS,
    **requisite_links.METHODS,
    **addresses.METHODS,
    **comments.METHODS,
    **notes.METHODS,
    **pictures.METHODS,
    **activities.METHODS,
    **currencies.METHODS,
    **duplicate_fields.METHODS,
    **workspaces.METHODS,
    **options.METHODS,
    **activity_bindings.METHODS,
    **activity_types.METHODS,
    **event_handlers.METHODS,
    **offline_events.METHODS,
    **users.METHODS,
    **portal_info.METHODS,
}
#: Methods named user.* that need no scope.
_WITHOUT_SCOPE = {"user.admin", "user.access", "user.option.get", "user.option.set"}
_USER_SCOPES = {"user", "user_basic", "user_brief"}


def is_allowed(method: str, scopes: tuple[str, ...]) -> bool:
    """Whether a webhook with these scopes may call a method."""
    if method.startswith("crm."):
        return "crm" in scopes
    needs_user = method.startswith("user.") and method not in _WITHOUT_SCOPE
    return not needs_user or bool(_USER_SCOPES & set(scopes))


def _methods(call: Call) -> MethodResult:
    """methods: the names of all methods, or of those of a scope."""
    scope = call.argument("scope")
    names = sorted([*METHODS, "batch"])
    if isinstance(scope, str) and scope:
        names = [name for name in names if name.startswith(f"{scope}.")]
    return MethodResult(names)


def _method(call: Call) -> MethodResult:
    """method.get: whether a method exists, and whether the webhook may call it."""
    name = call.argument("name")
    exists = isinstance(name, str) and (name.lower() in METHODS or name.lower() == "batch")
    is_available = exists and is_allowed(str(name).lower(), call.portal.settings.scope)
    return MethodResult({"isExisting": exists, "isAvailable": is_available})


METHODS["methods"] = _methods
METHODS["method.get"] = _method
