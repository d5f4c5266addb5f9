"""Stages: the first stage of an object, its group, closing, and the history of moves.

Documentation: crm/crm-stage-history-list.md.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from emulator.clock import iso
from emulator.entities.entity import DEAL, Entity
from emulator.entities.fields.kinds import to_stored
from emulator.entities.store import Item
from emulator.portal import Portal

#: The kinds of entries in the stage history, by the numbers of crm.stagehistory.list.
CREATED, MOVED, FINISHED, CHANGED_PIPELINE = 1, 2, 3, 5


def directory(entity: Entity, data: Mapping[str, Any]) -> str:
    """The directory of an object's stages: some types have one for each pipeline."""
    return entity.directory(data.get("CATEGORY_ID"))


def set_dates_and_stage(portal: Portal, entity: Entity, data: dict[str, Any], now: str) -> None:
    """Give a new object dates, a pipeline and a stage, by default the first one of the pipeline."""
    if "CLOSEDATE" in entity.field_names:
        _set_dates(data, now)
    if entity.has_stages_per_pipeline and entity is not DEAL and not data.get("CATEGORY_ID"):
        data["CATEGORY_ID"] = str(portal.categories.default(entity).id)
    if entity.stage_field:
        first = portal.directories.first(directory(entity, data))
        data[entity.stage_field] = data.get(entity.stage_field) or first
        data["MOVED_TIME"] = now
        set_stage_fields(portal, entity, data, now)


def _set_dates(data: dict[str, Any], now: str) -> None:
    """By default, an object begins today and ends in a week (crm/universal/crm-item-add.md)."""
    today = datetime.fromisoformat(now)
    for name, days in (("BEGINDATE", 0), ("CLOSEDATE", 7)):
        if not data.get(name):
            data[name] = to_stored("date", (today + timedelta(days=days)).date().isoformat())


def set_stage_fields(portal: Portal, entity: Entity, data: dict[str, Any], now: str) -> None:
    """Set the fields that depend on the stage: its group, and when and whether it is closed."""
    stage = data[entity.stage_field] or ""
    names = entity.field_names
    meaning = portal.directories.semantics(directory(entity, data), stage)
    data[entity.semantics_field] = meaning
    if "DATE_CLOSED" in names:
        data["DATE_CLOSED"] = "" if meaning == "P" else now
    if "CLOSED" in names:
        data["CLOSED"] = "N" if meaning == "P" else "Y"
    if "IS_NEW" in names:
        first = portal.directories.first(directory(entity, data))
        data["IS_NEW"] = "Y" if stage == first else "N"


def entry_kind(before: Item, data: Mapping[str, Any], entity: Entity) -> int:
    """The kind of the history entry for a move."""
    if before.data.get("CATEGORY_ID") != data.get("CATEGORY_ID"):
        return CHANGED_PIPELINE
    return MOVED if data[entity.semantics_field] == "P" else FINISHED


def record_stage(
    portal: Portal, entity: Entity, item_id: int, data: Mapping[str, Any], kind: int
) -> None:
    """Enter the current stage in the history."""
    if not entity.stage_field:
        return
    portal.store.db.execute(
        "INSERT INTO stage_history (entity, owner_id, kind, time, stage, semantics, category_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            entity.type_id,
            item_id,
            kind,
            data.get("MOVED_TIME") or iso(portal.clock.wall()),
            data[entity.stage_field],
            data[entity.semantics_field],
            int(data.get("CATEGORY_ID") or 0),
        ),
    )
