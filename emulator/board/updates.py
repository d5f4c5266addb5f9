"""The board's data: a snapshot of all objects of a type, and live updates."""

import asyncio
import contextlib
import json
from typing import Any

from aiohttp import web

from emulator.control.json_body import json_response, problem
from emulator.control.statistics import current_limits
from emulator.entities.entity import CONTACT, DEAL, LEAD, Entity
from emulator.entities.multifields import positive_int
from emulator.entities.store import Item
from emulator.entities.views import card
from emulator.portal import Portal
from emulator.requests.endpoint import PORTAL

_CARDS_PER_STAGE = 60
_TICK_S = 1.0
_SHOWN_TYPES = (LEAD, DEAL, CONTACT)
#: Seconds of traffic in a snapshot, as many as the plot shows, and in each update: the last one may
#: have been incomplete in the previous update.
_SNAPSHOT_SECONDS = 120
_UPDATE_SECONDS = 3


async def snapshot(request: web.Request) -> web.Response:
    """GET: the stages of a type (`?type=`, by default leads), their newest cards, statistics."""
    portal = request.app[PORTAL]
    type_id = positive_int(request.query.get("type", str(LEAD.type_id)))
    entity = next((kind for kind in _SHOWN_TYPES if kind.type_id == type_id), None)
    if entity is None:
        return problem(404, "no such board")
    counts = _counts_by_stage(portal, entity)
    cards = [card(entity, item) for stage in counts for item in _newest(portal, entity, stage)]
    return json_response(
        {
            "type": entity.type_id,
            "stages": _stages(portal, entity),
            "cards": cards,
            "seconds": [list(row) for row in portal.counts.seconds][-_SNAPSHOT_SECONDS:],
            **_statistics(portal),
            "counts": counts,  # of this type; those of `_statistics` are of leads
        }
    )


async def stream(request: web.Request) -> web.StreamResponse:
    """GET: server-sent events: each write of an object, and the statistics once a second."""
    portal = request.app[PORTAL]
    if portal.stream.is_full:
        return problem(503, "too many pages are open")
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await response.prepare(request)
    with contextlib.suppress(ConnectionResetError), portal.stream.subscribe() as updates:
        await _send_updates(portal, updates, response)
    return response


async def _send_updates(
    portal: Portal, updates: asyncio.Queue[str], response: web.StreamResponse
) -> None:
    """Send writes as they come and the statistics once a second, until the page disconnects."""
    loop = asyncio.get_running_loop()
    tick_due = loop.time()
    while True:
        if loop.time() >= tick_due:
            tick_due = loop.time() + _TICK_S
            await response.write(_tick(portal))
        try:
            message = await asyncio.wait_for(updates.get(), tick_due - loop.time())
        except TimeoutError:
            continue
        await response.write(message.encode())


def _stages(portal: Portal, entity: Entity) -> list[dict[str, Any]]:
    """The columns: a type's stages, for deals in all pipelines; one for a type without stages."""
    if not entity.stage_field:
        return [{"status": "", "name": f"{entity.title}s", "color": "#2FC6F6", "meaning": None}]
    directories = [entity.stage_directory]
    if entity is DEAL:
        pipelines = [category.id for category in portal.categories.all() if category.id]
        directories += [f"{entity.stage_directory}_{pipeline}" for pipeline in pipelines]
    return [
        {
            "status": status.status,
            "name": status.name,
            "color": status.color,
            "meaning": status.semantics or None,
        }
        for directory in directories
        for status in portal.directories.items(directory)
    ]


def _counts_by_stage(portal: Portal, entity: Entity) -> dict[str, int]:
    """The number of objects at each stage; all at the stage "" for a type without stages."""
    db = portal.store.db
    if not entity.stage_field:
        return {"": portal.store.count(entity)}
    return dict(
        db.execute(
            f"SELECT json_extract(data, '$.{entity.stage_field}') AS stage, count(*)"  # noqa: S608
            f" FROM {entity.table} GROUP BY stage"
        ).fetchall()
    )


def _newest(portal: Portal, entity: Entity, stage: str) -> list[Item]:
    """The objects at a stage that get a card."""
    if not entity.stage_field:
        return portal.store.find(entity, "ORDER BY id DESC LIMIT ?", (_CARDS_PER_STAGE,))
    condition = f"WHERE json_extract(data, '$.{entity.stage_field}') = ?"
    tail = f"{condition} ORDER BY id DESC LIMIT ?"
    return portal.store.find(entity, tail, (stage, _CARDS_PER_STAGE))


def _tick(portal: Portal) -> bytes:
    seconds = [list(row) for row in portal.counts.seconds][-_UPDATE_SECONDS:]
    data = json.dumps({**_statistics(portal), "seconds": seconds})
    return f"event: tick\ndata: {data}\n\n".encode()


def _statistics(portal: Portal) -> dict[str, Any]:
    """What the board shows besides the cards: counts, limits, faults and settings."""
    calls = portal.counts
    by_type = {str(entity.type_id): _counts_by_stage(portal, entity) for entity in _SHOWN_TYPES}
    return {
        "now": int(portal.clock.wall()),
        "counts": by_type[str(LEAD.type_id)],
        "by_type": by_type,
        "calls": {
            "requests": calls.requests,
            "commands": calls.commands,
            "refused": calls.refused,
            "dropped": calls.statuses["dropped"],
        },
        "faults": [rule.as_json() for rule in portal.faults.rules],
        "settings": portal.settings.as_json(),
        **current_limits(portal),
    }
