"""crm.lead.contact.*, crm.deal.contact.*, crm.contact.company.*, crm.company.contact.*.

Documentation: crm/leads/management-communication/, crm/deals/contacts/, crm/contacts/company/,
crm/companies/contacts/.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from emulator.entities.entity import COMPANY, CONTACT, DEAL, LEAD, QUOTE, Entity
from emulator.entities.multifields import positive_int
from emulator.entities.store import Item
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import Column, describe
from emulator.writes import clients, save
from emulator.writes.write import Write


@dataclass(frozen=True)
class Binding:
    """Objects of one type bound to an object of another one."""

    owner: Entity
    other: Entity

    @property
    def name(self) -> str:
        """The field that names the other object."""
        return f"{self.other.name}_ID"

    @property
    def family(self) -> str:
        """The beginning of its methods' names."""
        return f"crm.{self.owner.table}.{self.other.table}"


def add(binding: Binding, call: Call) -> MethodResult:
    """Bind one more object; a primary one becomes the first."""
    owner = _owner(binding, call)
    other, sent = _other(binding, call)
    bound = [item_id for item_id in _bound(binding, owner) if item_id != other]
    bound = [other, *bound] if sent.get("IS_PRIMARY") == "Y" else [*bound, other]
    _save(binding, call, owner, bound)
    return MethodResult(result=True)


def delete(binding: Binding, call: Call) -> MethodResult:
    """Unbind one object."""
    owner = _owner(binding, call)
    other, _ = _other(binding, call)
    bound = _bound(binding, owner)
    if other not in bound:
        raise _not_found(binding)
    _save(binding, call, owner, [item_id for item_id in bound if item_id != other])
    return MethodResult(result=True)


def fields(binding: Binding, _: Call) -> MethodResult:
    """The fields of a binding."""
    columns: dict[str, Column] = {
        "SORT": ("integer", "", "Sorting"),
        "IS_PRIMARY": ("char", "", "Primary"),
        binding.name: ("integer", "r", binding.other.title),
    }
    return MethodResult(describe(columns))


def items(binding: Binding, call: Call) -> MethodResult:
    """The bound objects; the first one is the primary one."""
    bound = _bound(binding, _owner(binding, call))
    return MethodResult(
        [
            {
                binding.name: int(item_id),
                "SORT": 10 * index,
                "ROLE_ID": 0,
                "IS_PRIMARY": "Y" if index == 1 else "N",
            }
            for index, item_id in enumerate(bound, 1)
        ]
    )


def replace(binding: Binding, call: Call) -> MethodResult:
    """Bind these objects and no others."""
    owner = _owner(binding, call)
    sent = call.argument("items")
    sent = list(sent.values()) if isinstance(sent, dict) else sent
    if not isinstance(sent, list):
        raise RestError("", "The parameter items must be array.")
    rows = [row for row in sent if isinstance(row, dict) and positive_int(row.get(binding.name))]
    rows.sort(key=lambda row: row.get("IS_PRIMARY") != "Y")  # the primary one first
    _save(binding, call, owner, [str(positive_int(row[binding.name])) for row in rows])
    return MethodResult(result=True)


def clear(binding: Binding, call: Call) -> MethodResult:
    """Unbind all objects."""
    _save(binding, call, _owner(binding, call), bound=[])
    return MethodResult(result=True)


def _owner(binding: Binding, call: Call) -> Item:
    """The object that `id` names, to which others are bound; raises RestError."""
    owner_id = positive_int(call.argument("id"))
    if owner_id is None:
        name = "ownerEntityID" if call.argument("fields") is None else "'ownerEntityID'"
        raise RestError("", f"The parameter {name} is invalid or not defined.")
    item = call.item(binding.owner, owner_id)
    if item is None:
        raise _not_found(binding)
    if not call.may_read(item):
        raise RestError("ACCESS_DENIED", "Access denied!", 403)
    return item


def _not_found(binding: Binding) -> RestError:
    """The error for a missing object: leads have a code, others have none."""
    return RestError("NOT_FOUND" if binding.owner is LEAD else "", "Not found.")


def _other(binding: Binding, call: Call) -> tuple[str, dict[str, Any]]:
    """The id of the object to bind or unbind, and the sent fields; raises RestError."""
    sent = call.argument("fields")
    if not isinstance(sent, dict):
        raise RestError("", "The parameter 'fields' must be array.")
    other_id = positive_int(sent.get(binding.name))
    if other_id is None or call.item(binding.other, other_id) is None:
        raise RestError("", "The parameter 'fields' is not valid.")
    return str(other_id), sent


def _bound(binding: Binding, owner: Item) -> list[str]:
    """The ids of the bound objects, the primary one first."""
    _, all_field = clients.field_names(binding.owner)
    return [str(item_id) for item_id in owner.data.get(all_field) or []]


def _save(binding: Binding, call: Call, owner: Item, bound: list[str]) -> None:
    """Store the ids of all bound objects; the history shows every change of them as items.set."""
    _, all_field = clients.field_names(binding.owner)
    method = f"{binding.family}.items.set"
    fields = {all_field: bound}
    write = Write(
        binding.owner,
        method,
        sent=fields,
        fields=fields,
        application=call.application,
        user=call.user,
    )
    save.update(call.portal, owner, write)


_BINDINGS = (
    Binding(LEAD, CONTACT),
    Binding(DEAL, CONTACT),
    Binding(QUOTE, CONTACT),
    Binding(CONTACT, COMPANY),
    Binding(COMPANY, CONTACT),
)
_VERBS: dict[str, Callable[[Binding, Call], MethodResult]] = {
    "add": add,
    "delete": delete,
    "fields": fields,
    "items.get": items,
    "items.set": replace,
    "items.delete": clear,
}
METHODS: dict[str, Callable[[Call], MethodResult]] = {
    f"{binding.family}.{verb}": partial(method, binding)
    for binding in _BINDINGS
    for verb, method in _VERBS.items()
}
