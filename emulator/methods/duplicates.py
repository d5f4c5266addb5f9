"""crm.duplicate.findbycomm: leads that share a phone or e-mail."""

import json

from emulator.errors import RestError
from emulator.http.params import Params
from emulator.leads.multifields import digest
from emulator.leads.query import argument
from emulator.methods.result import MethodResult
from emulator.portal import Portal

_VALUES_MAX = 20


def find_by_comm(portal: Portal, params: Params) -> MethodResult:
    """Ids by entity, for the first 20 values; `[]` if there are none."""
    kind = argument(params, "type")
    if kind not in ("PHONE", "EMAIL"):
        raise RestError("Communication type is not defined", "Parameter 'type' is required.")
    values = argument(params, "values")
    if not isinstance(values, list) or not values:
        raise RestError("Communication values is not defined", "Parameter 'values' is required.")
    if argument(params, "entity_type") not in (None, "", "LEAD"):
        return MethodResult([])
    keys = {digest(kind, str(each)) for each in values[:_VALUES_MAX]} - {""}
    found = portal.store.db.execute(
        "SELECT DISTINCT lead_id FROM multifield"
        " WHERE type_id = ? AND digest IN (SELECT value FROM json_each(?))"
        " ORDER BY lead_id LIMIT 20",
        (kind, json.dumps(sorted(keys))),
    ).fetchall()
    return MethodResult({"LEAD": [row[0] for row in found]} if found else [])


METHODS = {"crm.duplicate.findbycomm": find_by_comm}
