"""crm.item.import and crm.item.batchImport: objects with given times and authors.

A client may send the times and authors that the portal normally sets; robots do not run.
Documentation: crm/universal/import/.
"""

from collections.abc import Callable, Mapping
from typing import Any

from emulator.clock import iso, portal_iso
from emulator.entities.entity import LEAD, Entity
from emulator.entities.multifields import from_item_fm, positive_int
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.objects.items import entity_of, item_fields
from emulator.users import ADMIN
from emulator.writes import save
from emulator.writes.write import Write

_ITEMS_MAX = 20
_TIMES = {"createdTime": "DATE_CREATE", "updatedTime": "DATE_MODIFY", "movedTime": "MOVED_TIME"}
_AUTHORS = {"createdBy": "CREATED_BY_ID", "updatedBy": "MODIFY_BY_ID", "movedBy": "MOVED_BY_ID"}


def import_one(call: Call) -> MethodResult:
    """crm.item.import: the new object's id."""
    entity = entity_of(call)
    sent = call.argument("fields")
    if sent is None:
        raise RestError("100", "Could not find value for parameter {fields}")
    item_id = _import(call, entity, sent)
    result = {"item": {"id": item_id}}
    return MethodResult(result, lead=item_id if entity is LEAD else None)


def import_many(call: Call) -> MethodResult:
    """crm.item.batchImport: the id or the error of each of at most 20 objects."""
    entity = entity_of(call)
    sent = call.argument("data")
    if sent is None:
        raise RestError("100", "Could not find value for parameter {data}")
    sent_items = list(sent.values()) if isinstance(sent, dict) else sent
    if not isinstance(sent_items, list):
        raise RestError("100", "Expected iterable value for multiple field, but got string instead")
    if len(sent_items) > _ITEMS_MAX:
        raise RestError("MAX_IMPORT_BATCH_SIZE_EXCEEDED", "You cannot import more than 20 items")
    items: list[dict[str, Any]] = []
    for sent_item in sent_items:
        try:
            items.append({"item": {"id": _import(call, entity, sent_item)}})
        except RestError as error:
            items.append(error.body())
    return MethodResult({"items": items})


def _import(call: Call, entity: Entity, sent: Any) -> int:
    """Add one object; returns its id, raises RestError."""
    sent_fields = sent if isinstance(sent, dict) else {}
    rows = from_item_fm(sent_fields.get("fm")) if entity.has_multifields else []
    write = Write(
        entity,
        "crm.item.import",
        sent,
        item_fields(call, entity, sent_fields),
        rows,
        call.application,
        call.user,
        system=_given_times_and_authors(call, entity, sent_fields),
        runs_robots=False,
    )
    return save.add(call.portal, write).id


def _given_times_and_authors(call: Call, entity: Entity, sent: Mapping[str, Any]) -> dict[str, str]:
    """The times and authors that were sent, by upper-case name; raises RestError.

    The times of the last change and move that were not sent are that of the creation.
    """
    is_admin = call.user == ADMIN
    given: dict[str, str] = {}
    for camel, name in {**_TIMES, **_AUTHORS}.items():
        value = sent.get(camel)
        if value in (None, "") or (camel.startswith("moved") and not entity.stage_field):
            continue
        time = portal_iso(str(value)) if camel in _TIMES else None
        author = positive_int(value) if camel in _AUTHORS else None
        if not is_admin or (time is None and author is None):
            raise _invalid_value(call, entity, name)
        given[name] = time or str(author)
    _require_order(call, entity, given)
    if created := given.get("DATE_CREATE"):
        given.setdefault("DATE_MODIFY", created)
        if entity.stage_field:
            given.setdefault("MOVED_TIME", created)
    return given


def _require_order(call: Call, entity: Entity, given: Mapping[str, str]) -> None:
    """Raise RestError unless created ≤ moved ≤ updated ≤ now, and nothing was created later.

    An object without a time of creation is created now.
    """
    now = iso(call.portal.clock.wall())
    created = given.get("DATE_CREATE")
    earliest = created or now
    if created is not None:
        last = call.portal.store.find(entity, "ORDER BY id DESC LIMIT 1", (), with_rows=False)
        if created > now or (last and created < (last[0].data.get("DATE_CREATE") or "")):
            raise _invalid_value(call, entity, "DATE_CREATE")
    updated = given.get("DATE_MODIFY")
    if updated is not None and not earliest <= updated <= now:
        raise _invalid_value(call, entity, "DATE_MODIFY")
    moved = given.get("MOVED_TIME")
    if moved is not None and not earliest <= moved <= (updated or now):
        raise _invalid_value(call, entity, "MOVED_TIME")


def _invalid_value(call: Call, entity: Entity, name: str) -> RestError:
    title = call.portal.schemas[entity].title(name)
    return RestError("CRM_FIELD_ERROR_VALUE_NOT_VALID", f'Invalid value for field "{title}"')


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.item.import": import_one,
    "crm.item.batchimport": import_many,
}
