"""Mandatory fields: checked when an object is added and when it changes its stage.

A write that empties a mandatory field is rejected, too. Documentation:
crm/universal/crm-item-add.md, crm/universal/crm-item-update.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from emulator.entities.entity import LEAD, Entity
from emulator.entities.fields.field import MULTIFIELDS
from emulator.entities.store import Item
from emulator.portal import Portal
from emulator.writes.write import Write

_EMPTY: tuple[object, ...] = (None, "", [])


def field_names(portal: Portal, entity: Entity) -> list[str]:
    """The fields that an object needs at any stage."""
    general = portal.settings.mandatory_fields if entity is LEAD else ()
    if portal.settings.required_userfields == "ignore":
        return list(general)
    return [*general, *portal.schemas.mandatory(entity)]


def require_on_add(portal: Portal, write: Write, data: Mapping[str, Any]) -> None:
    """Raise RestError if a new object lacks a field that is mandatory, always or in its stage."""
    required = [*field_names(portal, write.entity), *_required_at_stage(portal, write.entity, data)]
    if required:
        row_types = {row.type_id for row in write.rows if row.value}
        _require(portal, write, required, data, row_types)


def require_on_update(
    portal: Portal, write: Write, after: Item, changes: Mapping[str, Any], *, is_moved: bool
) -> None:
    """Raise RestError if a mandatory field is empty: any one after a move, else a changed one."""
    required: Sequence[str] = field_names(portal, write.entity)
    if is_moved:
        required = [*required, *_required_at_stage(portal, write.entity, after.data)]
    elif required:
        touched = {row.type_id for row in write.rows} | changes.keys()
        required = [name for name in required if name in touched]
    if required:
        _require(portal, write, required, after.data, {row.type_id for row in after.rows})


def _required_at_stage(portal: Portal, entity: Entity, data: Mapping[str, Any]) -> Iterable[str]:
    """The fields that an object needs at its stage (setting `stage_mandatory_fields`)."""
    for entry in portal.settings.stage_mandatory_fields:
        stage, _, name = entry.rpartition(":")
        if entity is LEAD and stage == data.get(entity.stage_field):
            yield name


def _require(
    portal: Portal,
    write: Write,
    required: Iterable[str],
    data: Mapping[str, Any],
    row_types: set[str],
) -> None:
    """Raise RestError for the first required field without a value.

    `row_types`: the types of the multifield rows that the object has.
    """
    for name in required:
        is_present = name in row_types if name in MULTIFIELDS else data.get(name) not in _EMPTY
        if not is_present:
            title = portal.schemas[write.entity].title(name)
            text = f"The required field '{title}' is missing"
            if write.is_item_method:
                text = f'The "{title}" field is required'
            raise write.error("CRM_FIELD_ERROR_REQUIRED", text)
