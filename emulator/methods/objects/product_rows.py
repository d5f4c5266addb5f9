"""crm.lead.productrows.* and crm.deal.productrows.*: the product rows of an object.

The amount of the object is their sum, unless it is manual. Documentation:
crm/leads/crm-lead-productrows-set.md.
"""

from collections.abc import Callable
from functools import partial

from emulator.entities.entity import DEAL, LEAD, QUOTE, Entity
from emulator.entities.multifields import positive_int
from emulator.entities.store import Item
from emulator.errors import RestError, access_denied, not_found
from emulator.methods.call import Call, MethodResult
from emulator.methods.objects.product_row import (
    ROWS_MAX,
    product_row,
    recalculate_amount,
    replace_rows,
    rows_of,
)


def get(entity: Entity, call: Call) -> MethodResult:
    """The rows of an object."""
    item = _existing(entity, call)
    owner = {"OWNER_ID": str(item.id), "OWNER_TYPE": entity.prefix}
    stored = rows_of(call.portal.store, entity, item.id)
    rows = [{"ID": str(row_id), **owner, **row} for row_id, row in stored.items()]
    return MethodResult(
        [{**row, "PRODUCT_NAME": row["PRODUCT_NAME"] or f"[{row['ID']}]"} for row in rows]
    )


def replace(entity: Entity, call: Call) -> MethodResult:
    """Replace the rows of an object by the sent ones; returns true."""
    item = _existing(entity, call)
    sent = call.argument("rows")
    sent = list(sent.values()) if isinstance(sent, dict) else sent
    if not isinstance(sent, list):
        raise RestError("", "The parameter rows must be array.")
    rows = [product_row(row) for row in sent[:ROWS_MAX] if isinstance(row, dict)]
    replace_rows(call.portal.store, entity, item.id, rows)
    recalculate_amount(call, entity, item, f"crm.{entity.table}.productrows.set", sent)
    return MethodResult(result=True, lead=item.id if entity is LEAD else None)


def _existing(entity: Entity, call: Call) -> Item:
    """The object that `id` names; raises RestError."""
    item_id = positive_int(call.argument("id"))
    if item_id is None:
        raise RestError("", "The parameter id is invalid or not defined.")
    item = call.item(entity, item_id)
    if item is None:
        raise not_found()
    if not call.may_read(item):
        raise access_denied()
    return item


_VERBS: dict[str, Callable[[Entity, Call], MethodResult]] = {"get": get, "set": replace}
METHODS: dict[str, Callable[[Call], MethodResult]] = {
    f"crm.{entity.table}.productrows.{verb}": partial(method, entity)
    for entity in (LEAD, DEAL, QUOTE)
    for verb, method in _VERBS.items()
}
