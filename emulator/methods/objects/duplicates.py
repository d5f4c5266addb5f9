"""crm.duplicate.findbycomm: objects that share a phone or e-mail.

Documentation: crm/duplicates/crm-duplicate-find-by-comm.md.
"""

import json

from emulator.entities.entity import COMPANY, CONTACT, LEAD, Entity
from emulator.entities.multifields import digest
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult

_VALUES_MAX = 20
#: With this many results of one type, the types after it are not searched.
_FOUND_MAX = 20
_TYPES = (LEAD, CONTACT, COMPANY)


def find_by_comm(call: Call) -> MethodResult:
    """Ids by type of object, for the first 20 values; `[]` if there are none."""
    row_type = call.argument("type")
    if not isinstance(row_type, str) or not row_type:
        raise RestError("Communication type is not defined", "Parameter 'type' is required.")
    if row_type not in ("PHONE", "EMAIL"):
        text = f"Communication type '{row_type}' is not supported in current context"
        raise RestError(text, text)
    values = call.argument("values")
    values = list(values.values()) if isinstance(values, dict) else values
    if not isinstance(values, list) or not values:
        raise RestError("Communication values is not defined", "Parameter 'values' is required.")
    entity_type = call.argument("entity_type")
    keys = sorted({digest(row_type, str(value)) for value in values[:_VALUES_MAX]} - {""})
    result: dict[str, list[int]] = {}
    searched = [entity for entity in _TYPES if entity_type in (None, "", entity.name)]
    for entity in searched:
        ids = _ids(call, entity, row_type, keys)
        if ids:
            result[entity.name] = ids
        if len(ids) >= _FOUND_MAX:
            break
    return MethodResult(result or [])


def _ids(call: Call, entity: Entity, row_type: str, keys: list[str]) -> list[int]:
    """The ids of the objects of a type with one of these keys that the user may read."""
    found = call.portal.store.db.execute(
        "SELECT DISTINCT owner_id FROM multifield"
        " WHERE type_id = ? AND digest IN (SELECT value FROM json_each(?)) AND entity = ?"
        " ORDER BY owner_id LIMIT ?",
        (row_type, json.dumps(keys), entity.type_id, _FOUND_MAX),
    )
    ids = [row[0] for row in found]
    if call.read_access != "all":
        ids = [
            item_id
            for item_id in ids
            if (item := call.item(entity, item_id)) and call.may_read(item)
        ]
    return ids


METHODS = {"crm.duplicate.findbycomm": find_by_comm}
