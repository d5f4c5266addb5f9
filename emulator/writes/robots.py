"""Robots: rules that change fields after a write (setting `robots`).

A robot's change is its own write, with its own event, and starts no other robots. Imports
start none (crm/universal/import/index.md). `update` of writes/save.py, which calls this module, is
passed as an argument.
"""

from collections.abc import Callable

from emulator.entities.entity import Entity
from emulator.entities.store import Item
from emulator.portal import Portal
from emulator.writes.write import ROBOT, Write


def react(portal: Portal, item: Item, write: Write, verb: str, update: Callable[..., Item]) -> None:
    """Apply the robots that a write starts; `verb`: it did `add`, `update` or `move` the object."""
    settings = portal.settings
    if not settings.robots or not settings.robots_on or not write.runs_robots:
        return
    for rule in settings.robots:
        if _matches(rule, write.entity, item, verb):
            reaction = Write(
                write.entity,
                ROBOT,
                sent=rule["set"],
                fields=rule["set"],
                user=rule.get("user", 1),
                runs_robots=False,
            )
            current = portal.store.get(write.entity, item.id)
            if current is not None:
                update(portal, current, reaction, skip_unchanged=True)


def _matches(rule: dict[str, object], entity: Entity, item: Item, verb: str) -> bool:
    """Whether a write starts a robot; a move is an update, too."""
    if rule["entityTypeId"] != entity.type_id:
        return False
    stage = rule.get("stage")
    if stage is not None and item.data.get(entity.stage_field) != stage:
        return False
    return rule["on"] == verb or (rule["on"] == "update" and verb == "move")
