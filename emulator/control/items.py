"""Objects of any type as people change them by hand, and the recycle bin."""

from typing import Any

from aiohttp import web

from emulator.control.json_body import InvalidJson, json_response, problem, read_json
from emulator.entities.entity import Entity
from emulator.entities.multifields import from_upper_fields, positive_int
from emulator.entities.recycle_bin import DeletedItem
from emulator.entities.store import Item
from emulator.entities.views import multifields, upper_row
from emulator.errors import RestError
from emulator.portal import Portal
from emulator.requests.endpoint import PORTAL
from emulator.users import USERS
from emulator.writes import save
from emulator.writes.write import Write

_KEYS = {"fields", "user", "system"}
_ITEMS_MAX = 200


async def items(request: web.Request) -> web.Response:
    """GET: the newest objects of a type; with `?after=`, those after this id."""
    portal = request.app[PORTAL]
    entity = _entity(request)
    if entity is None:
        return problem(404, "no such type")
    after = positive_int(request.query.get("after"))
    tail = "WHERE id > ? ORDER BY id LIMIT ?" if after else "WHERE id > ? ORDER BY id DESC LIMIT ?"
    found = portal.store.find(entity, tail, (after or 0, _ITEMS_MAX))
    return json_response([_view(portal, entity, item) for item in found])


async def item(request: web.Request) -> web.Response:
    """GET: an object with its writes in order."""
    portal, entity, found = _find(request)
    if entity is None or found is None:
        return problem(404, "no such object")
    history = portal.store.histories(entity, [found.id])[found.id]
    return json_response({**_view(portal, entity, found), "history": history})


async def change(request: web.Request) -> web.Response:
    """PATCH `{"fields", "user", "system"}`: change an object as a person, or the portal itself."""
    portal, entity, item = _find(request)
    if entity is None or item is None:
        return problem(404, "no such object")
    try:
        sent = await read_json(request)
    except InvalidJson as error:
        return problem(422, str(error))
    if reason := _rejection_reason(sent):
        return problem(422, reason)
    try:
        changed = save.update(portal, item, _write(entity, sent))
    except RestError as error:
        return problem(422, error.description)
    return json_response(_view(portal, entity, changed))


async def delete(request: web.Request) -> web.Response:
    """DELETE: move an object to the recycle bin, as a person does."""
    portal, entity, item = _find(request)
    if entity is None or item is None:
        return problem(404, "no such object")
    save.delete(portal, item, Write(entity, "user", sent={}, fields={}))
    return json_response({"deleted": item.id})


async def bin_content(request: web.Request) -> web.Response:
    """GET: the recycle bin, newest first."""
    return json_response([_bin_row(deleted) for deleted in request.app[PORTAL].bin.all()])


async def restore(request: web.Request) -> web.Response:
    """POST: restore an object from the recycle bin; it gets a new id."""
    portal = request.app[PORTAL]
    number = positive_int(request.match_info["number"])
    found = portal.bin.take(number) if number else None
    if found is None:
        return problem(404, "not in the bin")
    write = Write(
        found.entity,
        "restore",
        sent={},
        fields={},
        rows=found.rows,
        system=found.data,
        runs_robots=False,
    )
    return json_response(_view(portal, found.entity, save.add(portal, write)))


def _find(request: web.Request) -> tuple[Portal, Entity | None, Item | None]:
    """The portal, and the type and object that the path names; None for what does not exist."""
    portal = request.app[PORTAL]
    entity = _entity(request)
    item_id = positive_int(request.match_info["id"])
    item = portal.store.get(entity, item_id) if entity and item_id else None
    return portal, entity, item


def _entity(request: web.Request) -> Entity | None:
    return request.app[PORTAL].types.get(positive_int(request.match_info["type"]))


def _rejection_reason(sent: Any) -> str:
    """Why a request for a change is invalid; empty if it is valid."""
    if not isinstance(sent, dict) or not sent.keys() <= _KEYS:
        return "must have the keys fields, user, system"
    if not isinstance(sent.get("fields"), dict):
        return "fields must be an object"
    if sent.get("user", 1) not in USERS:
        return "no such user"
    if not isinstance(sent.get("system", False), bool):
        return "system must be true or false"
    return ""


def _write(entity: Entity, sent: dict[str, Any]) -> Write:
    """The write of a change that was sent: by a person, or by the portal itself."""
    fields = sent["fields"]
    is_system = sent.get("system", False)
    return Write(
        entity,
        "system" if is_system else "user",
        sent=fields,
        fields=fields,
        rows=from_upper_fields(fields) if entity.has_multifields else (),
        user=sent.get("user", 1),
        is_system=is_system,
    )


def _view(portal: Portal, entity: Entity, item: Item) -> dict[str, Any]:
    return {**upper_row(portal.schemas[entity], item), **multifields(item)}


def _bin_row(found: DeletedItem) -> dict[str, Any]:
    return {
        "number": found.id,
        "entityTypeId": found.entity.type_id,
        "id": found.item_id,
        "time": found.time,
        "title": found.data.get("TITLE") or found.data.get("NAME"),
    }
