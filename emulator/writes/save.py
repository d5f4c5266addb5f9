"""Add, update and delete an object.

Each write is one transaction with its history entry; its events are sent after the commit.
"""

from collections.abc import Mapping
from typing import Any

from emulator.clock import iso
from emulator.entities.entity import CONTACT, Entity
from emulator.entities.setup.userfields import Schemas
from emulator.entities.store import Item
from emulator.entities.values import RejectedValue, writable_values
from emulator.portal import Portal
from emulator.users import ADMIN
from emulator.writes import clients, conversion, mandatory, robots, stages
from emulator.writes.notify import notify
from emulator.writes.write import Write

_AUTHORS = ("ASSIGNED_BY_ID", "CREATED_BY_ID", "MODIFY_BY_ID", "MOVED_BY_ID", "LAST_ACTIVITY_BY")


def add(portal: Portal, write: Write) -> Item:
    """Create an object, with the portal's defaults for missing fields."""
    entity, schema = write.entity, portal.schemas[write.entity]
    data = {**schema.initial, **_stored_fields(portal, write)}
    if write.is_item_method:
        for name, directory in entity.first_entry_defaults:
            data.setdefault(name, portal.directories.first(directory))
    now = iso(portal.clock.wall())
    if write.user != ADMIN:  # the administrator is the default of these fields
        data = {**dict.fromkeys(_AUTHORS, str(write.user)), **data}
    for name in ("DATE_CREATE", "DATE_MODIFY", "LAST_ACTIVITY_TIME"):
        data[name] = now
    clients.align_fields(entity, data, after=data)
    converts = conversion.applies(portal, entity, data)
    converts_later = converts and portal.settings.conversion_delay_ms > 0
    if converts and not converts_later:
        data[entity.stage_field] = conversion.CONVERTED
    stages.set_dates_and_stage(portal, entity, data, now)
    data.update(write.system)
    mandatory.require_on_add(portal, write, data)
    with portal.store.transaction():
        item_id = portal.store.insert(entity, data)
        if _set_defaults_from_id(entity, item_id, data):
            portal.store.save(entity, item_id, data)
        item = Item(item_id, data, portal.store.change_rows(entity, item_id, write.rows))
        is_by_client = write.method.startswith("crm.")  # not by a robot, a conversion or the board
        if item.rows and portal.settings.phones_after_ms and is_by_client:
            portal.store.hide_rows(entity, item_id)
            portal.late_rows.append((entity.type_id, item_id))
        _record_write(portal, item_id, write)
        stages.record_stage(portal, entity, item_id, data, stages.CREATED)
    notify(portal, "ADD", entity, item, write)
    if converts_later:
        portal.start(conversion.convert_later(portal, item_id, write, add, update))
    elif converts:
        conversion.convert(portal, item, write, add)
    robots.react(portal, item, write, "add", update)
    return item


def update(portal: Portal, item: Item, write: Write, *, skip_unchanged: bool = False) -> Item:
    """Update an object and return it; `skip_unchanged` saves nothing if nothing changes."""
    entity, schemas = write.entity, portal.schemas
    changes = _stored_fields(portal, write)
    _keep_immutable_fields(entity, item, changes)
    clients.align_fields(entity, changes, {**item.data, **changes})
    data = {**item.data, **changes}
    now = iso(portal.clock.wall())
    is_moved = bool(entity.stage_field) and data.get(entity.stage_field) != item.data.get(
        entity.stage_field
    )
    with portal.store.transaction():
        portal.store.change_rows(entity, item.id, write.rows)
        after = Item(item.id, data, item.rows)
        if write.rows:
            after.rows = current_item(portal, entity, item.id).rows
        mandatory.require_on_update(portal, write, after, changes, is_moved=is_moved)
        if skip_unchanged and _is_unchanged(schemas, entity, item, after, changes):
            return item
        if not write.is_system:
            _set_change(data, "DATE_MODIFY", now, "MODIFY_BY_ID", write.user)
        if is_moved:
            stages.set_stage_fields(portal, entity, data, now)
            if "PREVIOUS_STAGE_ID" in entity.field_names:
                data["PREVIOUS_STAGE_ID"] = item.data.get(entity.stage_field)
            _set_change(data, "MOVED_TIME", now, "MOVED_BY_ID", write.user)
            stages.record_stage(
                portal, entity, item.id, data, stages.entry_kind(item, data, entity)
            )
        portal.store.save(entity, item.id, data)
        _record_write(portal, item.id, write)
    notify(portal, "UPDATE", entity, after, write)
    robots.react(portal, after, write, "move" if is_moved else "update", update)
    return after


def delete(portal: Portal, item: Item, write: Write) -> None:
    """Move an object to the recycle bin."""
    with portal.store.transaction():
        portal.bin.put(write.entity, item, iso(portal.clock.wall()))
        portal.store.delete(write.entity, item.id)
    notify(portal, "DELETE", write.entity, item, write)


def current_item(portal: Portal, entity: Entity, item_id: int) -> Item:
    """The object as stored now; raises LookupError if there is none."""
    item = portal.store.get(entity, item_id)
    if item is None:
        raise LookupError(item_id)
    return item


def _set_defaults_from_id(entity: Entity, item_id: int, data: dict[str, Any]) -> bool:
    """Set a missing title and number of a new object from its id; returns whether one was set."""
    is_unnamed = entity is not CONTACT and not data.get("TITLE")
    if is_unnamed:
        data["TITLE"] = f"{entity.title} #{item_id}"
    is_unnumbered = bool(entity.number_field) and not data.get(entity.number_field)
    if is_unnumbered:
        data[entity.number_field] = str(item_id)
    return is_unnamed or is_unnumbered


def _set_change(data: dict[str, Any], date: str, now: str, author: str, user: int) -> None:
    """Set the field `date` to now, and the field `author` to the user."""
    data[date] = now
    if user != ADMIN or author in data:  # the administrator is the default
        data[author] = str(user)


def _stored_fields(portal: Portal, write: Write) -> dict[str, Any]:
    """The writable fields of a write in their stored form; raises RestError."""
    schema = portal.schemas[write.entity]
    try:
        data = writable_values(
            schema, write.fields, portal.settings, is_item_method=write.is_item_method
        )
    except RejectedValue as error:
        raise write.error(error.code, str(error)) from None
    entity = write.entity
    stage = data.get(entity.stage_field) if entity.stage_field else None
    if stage and portal.settings.unknown_status == "reject":
        directory = stages.directory(entity, data)
        if not portal.directories.has(directory, stage):
            text = 'Invalid value for field "Stage"'
            raise write.error("CRM_FIELD_ERROR_VALUE_NOT_VALID", text)
    return data


def _keep_immutable_fields(entity: Entity, item: Item, changes: dict[str, Any]) -> None:
    """Keep the stage and the title instead of empty ones, and the pipeline in any case."""
    for name in (entity.stage_field, "TITLE"):
        if name in changes and not changes[name]:
            changes[name] = item.data.get(name)
    changes.pop("CATEGORY_ID", None)


def _is_unchanged(
    schemas: Schemas, entity: Entity, before: Item, after: Item, changes: Mapping[str, Any]
) -> bool:
    fields = schemas[entity].fields
    return before.rows == after.rows and all(
        before.data.get(name, fields[name].default) == value for name, value in changes.items()
    )


def _record_write(portal: Portal, item_id: int, write: Write) -> None:
    portal.store.record_write(write.entity, item_id, portal.clock.wall(), write.method, write.sent)
