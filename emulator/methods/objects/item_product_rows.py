"""crm.item.productrow.*: product rows one by one, for all types of objects that have them.

Prices are rounded to two decimals at each step. Documentation: crm/universal/product-rows/.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from emulator.entities.entity import Entity
from emulator.entities.fields.field import upper_name
from emulator.entities.multifields import positive_int
from emulator.entities.query import first_row
from emulator.entities.store import Item
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import Column, describe
from emulator.methods.in_memory_lists import page, select_as_item_list
from emulator.methods.objects.product_row import (
    ROWS_MAX,
    insert_row,
    product_row,
    recalculate_amount,
    replace_rows,
    rows_of,
)

#: Units of measure by their code.
_MEASURES = {6: "m", 112: "l", 163: "g", 166: "kg", 796: "pcs"}
_PIECES = 796


def add(call: Call) -> MethodResult:
    """crm.item.productrow.add: the new row."""
    sent = _require(call, "fields")
    entity, item = _owner(call, sent)
    row_id = insert_row(call.portal.store, entity, item.id, _stored_row(sent))
    recalculate_amount(call, entity, item, "crm.item.productrow.add", sent)
    return _row_result(call, entity, item.id, row_id)


def update(call: Call) -> MethodResult:
    """crm.item.productrow.update: the changed row; its owner cannot change."""
    entity, item, row_id = _existing(call)
    sent = _require(call, "fields")
    for name in sent:
        _, flags, _ = _FIELDS.get(name, ("", "o", ""))
        if "o" in flags or "i" in flags:
            raise RestError("INVALID_ARG_VALUE", f"Field '{name}' is not available for update")
    stored_row = rows_of(call.portal.store, entity, item.id)[row_id]
    stored_fields = {name: stored_row.get(upper_name(name)) for name in _FIELDS}
    row = _stored_row({**stored_fields, **sent})
    call.portal.store.db.execute(
        "UPDATE product_row SET data = ? WHERE id = ?",
        (json.dumps(row, ensure_ascii=False), row_id),
    )
    recalculate_amount(call, entity, item, "crm.item.productrow.update", sent)
    return _row_result(call, entity, item.id, row_id)


def get(call: Call) -> MethodResult:
    """crm.item.productrow.get: a row by its id."""
    entity, item, row_id = _existing(call)
    row = rows_of(call.portal.store, entity, item.id)[row_id]
    return MethodResult(
        {"productRow": _row_with_warehouse(_row_view(entity, item.id, row_id, row))}
    )


def delete(call: Call) -> MethodResult:
    """crm.item.productrow.delete: null."""
    entity, item, row_id = _existing(call)
    call.portal.store.db.execute("DELETE FROM product_row WHERE id = ?", (row_id,))
    recalculate_amount(call, entity, item, "crm.item.productrow.delete", sent={})
    return MethodResult(None)


def replace(call: Call) -> MethodResult:
    """crm.item.productrow.set: the rows, which replace all others of their owner."""
    owner = {name: _require(call, name) for name in ("ownerType", "ownerId")}
    sent = _require(call, "productRows")
    entity, item = _owner(call, owner)
    rows = list(sent.values()) if isinstance(sent, dict) else sent
    if not isinstance(rows, list):
        raise RestError("100", "Expected iterable value for multiple field")
    new_rows = [_stored_row(sent_row) for sent_row in rows[:ROWS_MAX] if isinstance(sent_row, dict)]
    replace_rows(call.portal.store, entity, item.id, new_rows)
    recalculate_amount(call, entity, item, "crm.item.productrow.set", sent)
    return MethodResult({"productRows": _row_views(call, entity, item.id)})


def list_(call: Call) -> MethodResult:
    """crm.item.productrow.list: the rows of the owner that the filter must name."""
    conditions = call.argument("filter")
    keys = conditions if isinstance(conditions, dict) else {}
    owner = {name: keys.get(f"={name}", keys.get(name)) for name in ("ownerType", "ownerId")}
    for name, value in owner.items():
        if value is None:
            raise RestError("INVALID_ARG_VALUE", f"Filter by '={name}' is required")
    entity, item = _owner(call, owner)
    rows = _row_views(call, entity, item.id)
    found = [_row_with_warehouse(row) for row in select_as_item_list(rows, call, _FIELDS)]
    page_rows, total, following = page(found, first_row(call.params))
    return MethodResult({"productRows": page_rows}, total, following)


def available_for_payment(call: Call) -> MethodResult:
    """crm.item.productrow.getAvailableForPayment: all rows, since the emulator has no payments."""
    owner = {name: _require(call, name) for name in ("ownerType", "ownerId")}
    entity, item = _owner(call, owner)
    return MethodResult({"productRows": _row_views(call, entity, item.id)})


def fields(_: Call) -> MethodResult:
    """crm.item.productrow.fields: the fields of a row."""
    return MethodResult({"fields": describe(_FIELDS)})


def _require(call: Call, name: str) -> Any:
    """A parameter; raises RestError if it is missing."""
    sent = call.argument(name)
    if sent is None:
        raise RestError("100", f"Could not find value for parameter {{{name}}}")
    return sent


def _owner(call: Call, sent: object) -> tuple[Entity, Item]:
    """The object that `ownerType` and `ownerId` name, and its type; raises RestError."""
    fields = sent if isinstance(sent, Mapping) else {}
    for name in ("ownerId", "ownerType"):
        if fields.get(name) in (None, ""):
            raise RestError("100", f"Could not find value for parameter {{{name}}}")
    code = str(fields["ownerType"])
    types = call.portal.types.all()
    entity = next((entity for entity in types if entity.prefix == code), None)
    if entity is None or "OPPORTUNITY" not in entity.field_names:
        text = f"Working with objects of the type '{code[:20]}' is not supported"
        raise RestError("ENTITY_TYPE_NOT_SUPPORTED", text)
    return entity, _readable(call, call.item(entity, positive_int(fields["ownerId"])))


def _readable(call: Call, item: Item | None) -> Item:
    """The object; raises RestError if there is none, or the user may not read it."""
    if item is None:
        raise RestError("OWNER_NOT_FOUND", "Owner was not found")
    if not call.may_read(item):
        raise RestError("ACCESS_DENIED", "Access denied")
    return item


def _existing(call: Call) -> tuple[Entity, Item, int]:
    """The type and object of the row that `id` names, and the row's id; raises RestError."""
    row_id = positive_int(_require(call, "id"))
    row = call.portal.store.db.execute(
        "SELECT entity, owner_id FROM product_row WHERE id = ?", (row_id,)
    ).fetchone()
    entity = call.portal.types.get(row[0]) if row else None
    if row_id is None or entity is None:
        raise RestError("NOT_FOUND", "Item not found")
    return entity, _readable(call, call.item(entity, row[1])), row_id


def _stored_row(sent: Mapping[str, Any]) -> dict[str, Any]:
    """A row as stored: with the prices of crm.lead.productrows.set, rounded to two decimals."""
    row = product_row({upper_name(name): value for name, value in sent.items()})
    exclusive = round(row["PRICE_EXCLUSIVE"], 2)
    rate = row["DISCOUNT_RATE"]
    netto = round(exclusive / (1 - rate / 100), 2) if rate < 100 else round(row["PRICE_NETTO"], 2)
    measure = row["MEASURE_CODE"] or _PIECES
    return row | {
        "PRICE_EXCLUSIVE": exclusive,
        "PRICE_NETTO": netto,
        "PRICE_BRUTTO": round(netto * (1 + (row["TAX_RATE"] or 0) / 100), 2),
        "DISCOUNT_SUM": round(netto - exclusive, 2),
        "MEASURE_CODE": measure,
        "MEASURE_NAME": row["MEASURE_NAME"] or _MEASURES.get(measure, ""),
    }


def _row_views(call: Call, entity: Entity, item_id: int) -> list[dict[str, Any]]:
    rows = rows_of(call.portal.store, entity, item_id)
    return [_row_view(entity, item_id, row_id, row) for row_id, row in rows.items()]


def _row_result(call: Call, entity: Entity, item_id: int, row_id: int) -> MethodResult:
    row = rows_of(call.portal.store, entity, item_id)[row_id]
    return MethodResult({"productRow": _row_view(entity, item_id, row_id, row)})


def _row_view(entity: Entity, item_id: int, row_id: int, row: Mapping[str, Any]) -> dict[str, Any]:
    view = {name: row[upper_name(name)] for name in _VIEW_FIELDS}
    view["productName"] = view["productName"] or f"[{row_id}]"
    view["priceAccount"] = row["PRICE"]
    return {"id": row_id, "ownerId": item_id, "ownerType": entity.prefix, **view}


def _row_with_warehouse(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as get and list return it; unlike add, set and update, they include the warehouse."""
    return {**row, "storeId": None}


_FIELDS: dict[str, Column] = {
    "id": ("integer", "o", "ID"),
    "ownerId": ("integer", "ri", "Id of the object"),
    "ownerType": ("string", "ri", "Type of the object"),
    "productId": ("integer", "r", "Product"),
    "productName": ("string", "", "Name of the product"),
    "price": ("double", "", "Price"),
    "priceExclusive": ("double", "o", "Price without tax, with the discount"),
    "priceNetto": ("double", "o", "Price without tax and discount"),
    "priceBrutto": ("double", "o", "Price with tax, without the discount"),
    "quantity": ("double", "", "Quantity"),
    "discountTypeId": ("integer", "", "Kind of discount"),
    "discountRate": ("double", "", "Discount in percent"),
    "discountSum": ("double", "", "Discount as a sum"),
    "taxRate": ("double", "", "Tax"),
    "taxIncluded": ("char", "", "Tax is in the price"),
    "customized": ("char", "", "Changed"),
    "measureCode": ("integer", "", "Code of the unit of measure"),
    "measureName": ("string", "", "Unit of measure"),
    "sort": ("integer", "", "Sorting"),
    "type": ("integer", "o", "Type"),
    "storeId": ("integer", "o", "Warehouse"),
}
_VIEW_FIELDS = (
    *("productId", "productName", "price", "priceAccount", "priceExclusive", "priceNetto"),
    *("priceBrutto", "quantity", "discountTypeId", "discountRate", "discountSum", "taxRate"),
    *("taxIncluded", "customized", "measureCode", "measureName", "sort", "xmlId", "type"),
)
METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.item.productrow.add": add,
    "crm.item.productrow.update": update,
    "crm.item.productrow.get": get,
    "crm.item.productrow.delete": delete,
    "crm.item.productrow.set": replace,
    "crm.item.productrow.list": list_,
    "crm.item.productrow.getavailableforpayment": available_for_payment,
    "crm.item.productrow.fields": fields,
}
