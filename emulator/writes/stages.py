"""Stages: an object's first one, its group, its closing, and the history of its moves.

Documentation: crm/crm-stage-history-list.md.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from emulator.clock import iso
from emulator.entities.entity import DEAL, Entity
from emulator.entities.fields.kinds import stored
from emulator.entities.store import Item
from emulator.portal import Portal

#: Kinds of entries of the history.
CREATED, MOVED, FINISHED, CHANGED_PIPELINE = 1, 2, 3, 5


def directory(entity: Entity, data: Mapping[str, Any]) -> str:
    """The directory of an object's stages: deals have one for each pipeline."""
    category = data.get("CATEGORY_ID") if entity is DEAL else None
    return f"{entity.stages}_{category}" if category not in (None, "", "0") else entity.stages


def enter_first(portal: Portal, entity: Entity, data: dict[str, Any], now: str) -> None:
    """Give a new object its stage, by default the first one of its pipeline."""
    if entity is DEAL:
        _set_dates(data, now)
    if entity.stage:
        first = portal.directories.first(directory(entity, data))
        data[entity.stage] = data.get(entity.stage) or first
        data["MOVED_TIME"] = now
        enter(portal, entity, data, now)


def _set_dates(data: dict[str, Any], now: str) -> None:
    """A deal begins today and ends in a week (crm/universal/crm-item-add.md)."""
    today = datetime.fromisoformat(now)
    for name, days in (("BEGINDATE", 0), ("CLOSEDATE", 7)):
        if not data.get(name):
            data[name] = stored("date", (today + timedelta(days=days)).date().isoformat())


def enter(portal: Portal, entity: Entity, data: dict[str, Any], now: str) -> None:
    """Set what depends on the stage."""
    stage = data[entity.stage] or ""
    meaning = portal.directories.semantics(directory(entity, data), stage)
    data[entity.semantics] = meaning
    if entity is DEAL:
        data["CLOSED"] = "N" if meaning == "P" else "Y"
        first = portal.directories.first(directory(entity, data))
        data["IS_NEW"] = "Y" if stage == first else "N"
    else:
        data["DATE_CLOSED"] = "" if meaning == "P" else now


def kind(before: Item, data: Mapping[str, Any], entity: Entity) -> int:
    """The kind of a move's entry."""
    if before.data.get("CATEGORY_ID") != data.get("CATEGORY_ID"):
        return CHANGED_PIPELINE
    return MOVED if data[entity.semantics] == "P" else FINISHED


def record(
    portal: Portal, entity: Entity, item_id: int, data: Mapping[str, Any], entry_kind: int
) -> None:
    """Enter the current stage in the history."""
    if not entity.stage:
        return
    portal.store.db.execute(
        "INSERT INTO stage_history (entity, owner_id, kind, time, stage, semantics, category_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            entity.type_id,
            item_id,
            entry_kind,
            data.get("MOVED_TIME") or iso(portal.clock.wall()),
            data[entity.stage],
            data[entity.semantics],
            int(data.get("CATEGORY_ID") or 0),
        ),
    )
