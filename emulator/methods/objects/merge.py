"""crm.entity.mergeBatch: several objects become the first of them; the others are deleted.

Fills the empty fields of the first one, and adds the multifield rows that it lacks. If a field
has two different values, nothing changes: the answer is CONFLICT.

Documentation: crm/duplicates/crm-entity-merge-batch.md.
"""

import itertools
from collections.abc import Callable
from typing import Any

from emulator.entities.entity import COMPANY, CONTACT, DEAL, LEAD, Entity
from emulator.entities.multifields import RowChange, digest, positive_int
from emulator.entities.schema import Schema
from emulator.entities.store import Item
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.writes import save
from emulator.writes.write import Write

_ITEMS_MAX = 50
_EMPTY: tuple[object, ...] = (None, "", [], "0.00")
_MERGEABLE = {entity.type_id: entity for entity in (LEAD, DEAL, CONTACT, COMPANY)}
#: Fields in which the objects may differ: the first one's value stays.
_MAY_DIFFER = {
    *("ORIGINATOR_ID", "ORIGIN_ID", "ORIGIN_VERSION", "ASSIGNED_BY_ID", "OPENED", "TITLE"),
    *("STATUS_ID", "STAGE_ID", "CATEGORY_ID"),
}


def merge(call: Call) -> MethodResult:
    """crm.entity.mergeBatch: STATUS, and the ids of the deleted objects."""
    params = call.argument("params")
    sent = params if isinstance(params, dict) else call.params
    entity, items = _entity(sent), _items(call, sent)
    first, *others = items
    schema = call.portal.schemas[entity]
    fields = _inherited_fields(schema, first, others)
    if fields is None:
        return MethodResult({"STATUS": "CONFLICT", "ENTITY_IDS": []})
    method = "crm.entity.mergebatch"
    write = Write(
        entity, method, sent, fields, _missing_rows(first, others), call.application, call.user
    )
    save.update(call.portal, first, write)
    for other in others:
        deletion = Write(
            entity, method, sent={}, fields={}, application=call.application, user=call.user
        )
        save.delete(call.portal, other, deletion)
    result = {"STATUS": "SUCCESS", "ENTITY_IDS": [other.id for other in others]}
    return MethodResult(result, lead=first.id if entity is LEAD else None)


def _entity(sent: dict[str, Any]) -> Entity:
    type_id = sent.get("entityTypeId")
    if type_id in (None, ""):
        raise RestError(0, "The parameter entityTypeId is required.")
    entity = _MERGEABLE.get(positive_int(type_id) or 0)
    if entity is None:
        raise RestError(0, f"Entity type {str(type_id)[:50]} is not supported")
    return entity


def _items(call: Call, sent: dict[str, Any]) -> list[Item]:
    """The objects that `entityIds` names, in this order; raises RestError."""
    ids = sent.get("entityIds")
    ids = list(ids.values()) if isinstance(ids, dict) else ids
    sent_ids = ids if isinstance(ids, list) else []
    numbers = [number for item_id in sent_ids if (number := positive_int(item_id))]
    numbers = list(dict.fromkeys(numbers))  # without repetitions
    if not numbers:
        raise RestError(0, "The parameter entityIds does not contains valid elements.")
    if len(numbers) == 1:
        raise RestError(0, "The parameter entityIds must contains at least two elements.")
    entity = _entity(sent)
    items = []
    for number in numbers[:_ITEMS_MAX]:
        item = call.item(entity, number)
        if item is None:
            raise RestError(0, "Owner was not found")
        if not call.may_read(item):
            raise RestError("", "Access denied.", 403)
        items.append(item)
    return items


def _inherited_fields(schema: Schema, first: Item, others: list[Item]) -> dict[str, Any] | None:
    """The fields that the first object inherits; None if values contradict each other."""
    changes: dict[str, Any] = {}
    for name, field in schema.fields.items():
        if field.is_read_only or name in _MAY_DIFFER:
            continue
        current = first.data.get(name, field.default)
        for other in others:
            value = other.data.get(name, field.default)
            if isinstance(current, list) or isinstance(value, list):
                current = list(dict.fromkeys([*(current or []), *(value or [])]))
                changes[name] = current
            elif value not in _EMPTY and value != current:
                if current not in _EMPTY:
                    return None
                changes[name] = value
                current = value
    return changes


def _missing_rows(first: Item, others: list[Item]) -> list[RowChange]:
    """The multifield rows whose value the first object does not have yet."""
    existing = {(row.type_id, digest(row.type_id, row.value)) for row in first.rows}
    added = []
    for row in itertools.chain.from_iterable(other.rows for other in others):
        key = (row.type_id, digest(row.type_id, row.value))
        if key not in existing:
            existing.add(key)
            added.append(RowChange(row.type_id, row.value, row.value_type))
    return added


METHODS: dict[str, Callable[[Call], MethodResult]] = {"crm.entity.mergebatch": merge}
