"""The board's data: a snapshot of all leads, and live updates."""

import asyncio
import contextlib
import json
from typing import Any

from aiohttp import web

from emulator.control.json_body import json_response, problem
from emulator.control.statistics import now
from emulator.entities.entity import LEAD
from emulator.entities.views import card
from emulator.portal import Portal
from emulator.requests.endpoint import PORTAL

_CARDS_PER_STAGE = 60
_TICK_S = 1.0
_COUNTS = "SELECT json_extract(data, '$.STATUS_ID') AS stage, count(*) FROM lead GROUP BY stage"


async def snapshot(request: web.Request) -> web.Response:
    """GET: the stages, their newest cards, and the statistics."""
    portal = request.app[PORTAL]
    statistics = _statistics(portal)
    cards = [card for stage in statistics["counts"] for card in _newest(portal, stage)]
    stages = [
        {
            "status": each.status,
            "name": each.name,
            "color": each.color,
            "meaning": each.semantics or None,
        }
        for each in portal.directories.items(LEAD.stages)
    ]
    seconds = [list(each) for each in portal.counts.seconds][-120:]
    return json_response({"stages": stages, "cards": cards, "seconds": seconds, **statistics})


async def stream(request: web.Request) -> web.StreamResponse:
    """GET: server-sent events: each write of a lead, and the statistics once a second."""
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
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        if loop.time() >= due:
            due = loop.time() + _TICK_S
            await response.write(_tick(portal))
        try:
            message = await asyncio.wait_for(updates.get(), due - loop.time())
        except TimeoutError:
            continue
        await response.write(message.encode())


def _newest(portal: Portal, stage: str) -> list[dict[str, Any]]:
    tail = "WHERE json_extract(data, '$.STATUS_ID') = ? ORDER BY id DESC LIMIT ?"
    return [card(lead) for lead in portal.store.find(LEAD, tail, (stage, _CARDS_PER_STAGE))]


def _tick(portal: Portal) -> bytes:
    seconds = [list(each) for each in portal.counts.seconds][-3:]
    data = json.dumps({**_statistics(portal), "seconds": seconds})
    return f"event: tick\ndata: {data}\n\n".encode()


def _statistics(portal: Portal) -> dict[str, Any]:
    calls = portal.counts
    return {
        "now": int(portal.clock.wall()),
        "counts": dict(portal.store.db.execute(_COUNTS).fetchall()),
        "calls": {
            "requests": calls.requests,
            "commands": calls.commands,
            "refused": calls.refused,
            "dropped": calls.statuses["dropped"],
        },
        "faults": [rule.as_json() for rule in portal.faults.rules],
        "settings": portal.settings.as_json(),
        **now(portal),
    }
