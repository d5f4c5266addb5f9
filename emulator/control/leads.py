"""All leads with their histories, read slice by slice so that the portal stays responsive."""

import asyncio
import json
import sys
from typing import Any

from aiohttp import web

from emulator.control.json_body import InvalidJson, json_response, problem, read_json
from emulator.entities.entity import LEAD
from emulator.entities.multifields import positive_int
from emulator.entities.schema import Schema
from emulator.entities.store import Item, Store
from emulator.entities.views import multifields, upper_row
from emulator.errors import RestError
from emulator.requests.endpoint import PORTAL
from emulator.writes.save import update
from emulator.writes.write import Write

#: Leads read between two opportunities for other requests.
_SLICE = 200
_SHOWN = ("ID", "ORIGINATOR_ID", "ORIGIN_ID", "NAME", "TITLE", "STATUS_ID", "DATE_CREATE")


async def leads(request: web.Request) -> web.StreamResponse:
    """GET: all leads by id, restricted by `?origin_id=`, `?after=` (an id) and `?limit=`."""
    store, schema = request.app[PORTAL].store, request.app[PORTAL].schemas[LEAD]
    origin_id = request.query.get("origin_id")
    after = positive_int(request.query.get("after")) or 0
    remaining = positive_int(request.query.get("limit")) or sys.maxsize
    response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
    await response.prepare(request)
    opening = "["
    while remaining > 0:
        limit = min(remaining, _SLICE)
        found = _slice(store, schema, origin_id, after, limit)
        if found:
            await response.write((opening + ",\n".join(found)).encode())
            await asyncio.sleep(0)  # a write that fits the buffer does not yield
            opening = ",\n"
        if len(found) < limit:
            break
        remaining -= len(found)
        after = int(json.loads(found[-1])["ID"])
    await response.write(b"[]" if opening == "[" else b"]")
    return response


async def move(request: web.Request) -> web.Response:
    """PATCH: set a lead's stage, as a person does on the board."""
    portal = request.app[PORTAL]
    lead_id = positive_int(request.match_info["id"])
    try:
        sent = await read_json(request)
    except InvalidJson as error:
        return problem(422, str(error))
    status = sent.get("STATUS_ID") if isinstance(sent, dict) else None
    if not isinstance(status, str) or not status or set(sent) != {"STATUS_ID"}:
        return problem(422, 'must be {"STATUS_ID": a stage}')
    item = portal.store.get(LEAD, lead_id) if lead_id else None
    if item is None:
        return problem(404, "no such lead")
    try:
        lead = update(portal, item, Write(LEAD, "user", sent=sent, fields=sent))
    except RestError as error:
        return problem(422, error.description)
    return json_response(
        _view(portal.schemas[LEAD], lead, portal.store.histories(LEAD, [lead.id])[lead.id])
    )


def _slice(
    store: Store, schema: Schema, origin_id: str | None, after: int, limit: int
) -> list[str]:
    """At most `limit` leads with ids above `after`, each as JSON."""
    condition = "WHERE id > ?"
    values: list[int | str] = [after]
    if origin_id is not None:
        condition += " AND json_extract(data, '$.ORIGIN_ID') = ?"
        values.append(origin_id)
    found = store.find(LEAD, f"{condition} ORDER BY id LIMIT ?", [*values, limit])
    histories = store.histories(LEAD, [item.id for item in found])
    return [
        json.dumps(_view(schema, lead, histories[lead.id]), ensure_ascii=False) for lead in found
    ]


def _view(schema: Schema, lead: Item, history: list[dict[str, Any]]) -> dict[str, Any]:
    values, rows = upper_row(schema, lead), multifields(lead)
    phones = [
        {name: row[name] for name in ("ID", "VALUE", "VALUE_TYPE")} for row in rows.get("PHONE", [])
    ]
    return {**{name: values[name] for name in _SHOWN}, "PHONE": phones, "history": history}
