"""Add, update and delete an object.

Each write is one transaction with its history entry; its events are sent after the commit.
"""

from collections.abc import Mapping
from typing import Any

from emulator.clock import iso
from emulator.entities.entity import CONTACT, Entity
from emulator.entities.setup.userfields import Schemas
from emulator.entities.store import Item
from emulator.entities.values import Refused, writable
from emulator.portal import Portal
from emulator.writes import clients, conversion, mandatory, robots, stages
from emulator.writes.notify import notify
from emulator.writes.write import Write

_AUTHORS = ("ASSIGNED_BY_ID", "CREATED_BY_ID", "MODIFY_BY_ID", "MOVED_BY_ID", "LAST_ACTIVITY_BY")


def add(portal: Portal, write: Write) -> Item:
    """Create an object, with the portal's defaults for missing fields."""
    entity, schema = write.entity, portal.schemas[write.entity]
    data = {**schema.initial, **_values(portal, write)}
    if write.is_item:
        for name, directory in entity.first_items:
            data.setdefault(name, portal.directories.first(directory))
    now = iso(portal.clock.wall())
    if write.user != 1:
        data = {**dict.fromkeys(_AUTHORS, str(write.user)), **data}
    for name in ("DATE_CREATE", "DATE_MODIFY", "LAST_ACTIVITY_TIME"):
        data[name] = now
    clients.bind(entity, data, data)
    is_converted = conversion.applies(portal, entity, data)
    is_late = is_converted and portal.settings.conversion_delay_ms > 0
    if is_converted and not is_late:
        data[entity.stage_field] = conversion.CONVERTED
    stages.enter_first(portal, entity, data, now)
    data.update(write.system)
    mandatory.require_on_add(portal, write, data)
    with portal.store.transaction():
        item_id = portal.store.insert(entity, data)
        if _name(entity, item_id, data):
            portal.store.save(entity, item_id, data)
        item = Item(item_id, data, portal.store.change_rows(entity, item_id, write.rows))
        if item.rows and portal.settings.phones_after_ms and write.method.startswith("crm."):
            portal.store.hide_rows(entity, item_id)
            portal.late_rows.append((entity.type_id, item_id))
        _record(portal, item_id, write)
        stages.record(portal, entity, item_id, data, stages.CREATED)
    notify(portal, "ADD", entity, item, write)
    if is_late:
        portal.start(conversion.convert_later(portal, item_id, write, add, update))
    elif is_converted:
        conversion.convert(portal, item, write, add)
    robots.react(portal, item, write, "add", update)
    return item


def update(portal: Portal, item: Item, write: Write, *, skip_unchanged: bool = False) -> Item:
    """Update an object and return it; `skip_unchanged` saves nothing if nothing changes."""
    entity, schemas = write.entity, portal.schemas
    changes = _values(portal, write)
    _keep_immutable_fields(entity, item, changes)
    clients.bind(entity, changes, {**item.data, **changes})
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
        if skip_unchanged and _same(schemas, entity, item, after, changes):
            return item
        if not write.is_system:
            _sign(data, "DATE_MODIFY", now, "MODIFY_BY_ID", write.user)
        if is_moved:
            stages.enter(portal, entity, data, now)
            if "PREVIOUS_STAGE_ID" in entity.field_names:
                data["PREVIOUS_STAGE_ID"] = item.data.get(entity.stage_field)
            _sign(data, "MOVED_TIME", now, "MOVED_BY_ID", write.user)
            stages.record(portal, entity, item.id, data, stages.kind(item, data, entity))
        portal.store.save(entity, item.id, data)
        _record(portal, item.id, write)
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
    """The object as it is now; it must exist."""
    item = portal.store.get(entity, item_id)
    if item is None:
        raise LookupError(item_id)
    return item


def _name(entity: Entity, item_id: int, data: dict[str, Any]) -> bool:
    """Set a new object's default title and number from its id; returns whether one was missing."""
    is_unnamed = entity is not CONTACT and not data.get("TITLE")
    if is_unnamed:
        data["TITLE"] = f"{entity.title} #{item_id}"
    is_unnumbered = bool(entity.number_field) and not data.get(entity.number_field)
    if is_unnumbered:
        data[entity.number_field] = str(item_id)
    return is_unnamed or is_unnumbered


def _sign(data: dict[str, Any], date: str, now: str, author: str, user: int) -> None:
    data[date] = now
    if user != 1 or author in data:
        data[author] = str(user)


def _values(portal: Portal, write: Write) -> dict[str, Any]:
    schema = portal.schemas[write.entity]
    try:
        data = writable(schema, write.fields, portal.settings, is_item=write.is_item)
    except Refused as error:
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
    """Keep the old stage or title if the new one is empty, and always the old pipeline."""
    for name in (entity.stage_field, "TITLE"):
        if name in changes and not changes[name]:
            changes[name] = item.data.get(name)
    changes.pop("CATEGORY_ID", None)


def _same(
    schemas: Schemas, entity: Entity, before: Item, after: Item, changes: Mapping[str, Any]
) -> bool:
    fields = schemas[entity].fields
    return before.rows == after.rows and all(
        before.data.get(name, fields[name].default) == value for name, value in changes.items()
    )


def _record(portal: Portal, item_id: int, write: Write) -> None:
    portal.store.record(write.entity, item_id, portal.clock.wall(), write.method, write.sent)
