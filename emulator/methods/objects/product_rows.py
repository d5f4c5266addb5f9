"""crm.lead.productrows.* and crm.deal.productrows.*: products of an object, without a catalog.

The amount of the object is their sum, unless it is manual. Documentation:
crm/leads/crm-lead-productrows-set.md.
"""

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from emulator.entities.entity import DEAL, LEAD, Entity
from emulator.entities.multifields import positive_int
from emulator.entities.store import Item
from emulator.errors import RestError, access_denied, not_found
from emulator.methods.result import Call, MethodResult
from emulator.writes import save
from emulator.writes.write import Write

_ROWS_MAX = 500
_ABSOLUTE, _PERCENTAGE = 1, 2


def get(entity: Entity, call: Call) -> MethodResult:
    """The rows of an object."""
    item = _existing(entity, call)
    cursor = call.portal.store.db.execute(
        "SELECT id, data FROM product_row WHERE entity = ? AND owner_id = ? ORDER BY id",
        (entity.type_id, item.id),
    )
    owner = {"OWNER_ID": str(item.id), "OWNER_TYPE": entity.prefix}
    rows = [{"ID": str(row_id), **owner, **json.loads(data)} for row_id, data in cursor]
    return MethodResult([{**row, "PRODUCT_NAME": _name(row)} for row in rows])


def replace(entity: Entity, call: Call) -> MethodResult:
    """True; rows that are not sent again are gone."""
    item, sent = _existing(entity, call), call.argument("rows")
    sent = list(sent.values()) if isinstance(sent, dict) else sent
    if not isinstance(sent, list):
        raise RestError("", "The parameter rows must be array.")
    rows = [_row(row) for row in sent[:_ROWS_MAX] if isinstance(row, dict)]
    store = call.portal.store
    with store.transaction():
        store.db.execute(
            "DELETE FROM product_row WHERE entity = ? AND owner_id = ?", (entity.type_id, item.id)
        )
        store.db.executemany(
            "INSERT INTO product_row (entity, owner_id, data) VALUES (?, ?, ?)",
            [(entity.type_id, item.id, json.dumps(row, ensure_ascii=False)) for row in rows],
        )
    if item.data.get("IS_MANUAL_OPPORTUNITY") != "Y":
        amount = {"OPPORTUNITY": sum(row["PRICE"] * row["QUANTITY"] for row in rows)}
        method = f"crm.{entity.table}.productrows.set"
        write = Write(entity, method, sent, amount, (), call.connector, call.user)
        save.update(call.portal, item, write)
    return MethodResult(result=True, lead=item.id if entity is LEAD else None)


def _existing(entity: Entity, call: Call) -> Item:
    item_id = positive_int(call.argument("id"))
    if item_id is None:
        raise RestError("", "The parameter id is invalid or not defined.")
    item = call.item(entity, item_id)
    if item is None:
        raise not_found()
    if not call.may_read(item):
        raise access_denied()
    return item


def _row(sent: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the prices that follow from what was sent: PRICE has tax and discount in it."""
    price, tax = _number(sent.get("PRICE"), 0), sent.get("TAX_RATE")
    exclusive = price / (1 + _number(tax, 0) / 100)
    kind, rate, netto = _discount(sent, exclusive)
    return {
        "PRODUCT_ID": positive_int(sent.get("PRODUCT_ID")) or 0,
        "PRODUCT_NAME": str(sent.get("PRODUCT_NAME") or "")[:255],
        "ORIGINAL_PRODUCT_NAME": str(sent.get("PRODUCT_NAME") or "")[:255],
        "PRODUCT_DESCRIPTION": None,
        "PRICE": price,
        "PRICE_EXCLUSIVE": exclusive,
        "PRICE_NETTO": netto,
        "PRICE_BRUTTO": netto * (1 + _number(tax, 0) / 100),
        "PRICE_ACCOUNT": f"{price:.8f}",
        "QUANTITY": _number(sent.get("QUANTITY"), 1),
        "DISCOUNT_TYPE_ID": kind,
        "DISCOUNT_RATE": rate,
        "DISCOUNT_SUM": netto - exclusive,
        "TAX_RATE": None if tax in (None, "") else _number(tax, 0),
        "TAX_INCLUDED": "Y" if sent.get("TAX_INCLUDED") == "Y" else "N",
        "CUSTOMIZED": "Y",
        "MEASURE_CODE": positive_int(sent.get("MEASURE_CODE")) or 0,
        "MEASURE_NAME": str(sent.get("MEASURE_NAME") or "")[:50],
        "SORT": positive_int(sent.get("SORT")) or 0,
        "XML_ID": "",
        "TYPE": 4,
        "STORE_ID": None,
        "RESERVE_ID": None,
        "DATE_RESERVE_END": None,
        "RESERVE_QUANTITY": None,
    }


def _discount(sent: Mapping[str, Any], exclusive: float) -> tuple[int, float, float]:
    """The type and rate of the discount, and the price before it; raises RestError."""
    kind = positive_int(sent.get("DISCOUNT_TYPE_ID"))
    if kind == _ABSOLUTE:
        if sent.get("DISCOUNT_SUM") is None:
            raise _missing("Discount Sum (DISCOUNT_SUM)", "Monetary")
        netto = exclusive + _number(sent["DISCOUNT_SUM"], 0)
        return kind, 100 * (1 - exclusive / netto) if netto else 0, netto
    if kind == _PERCENTAGE and sent.get("DISCOUNT_RATE") is None:
        raise _missing("Discount Rate (DISCOUNT_RATE)", "Percentage")
    rate = _number(sent.get("DISCOUNT_RATE"), 0)
    if rate >= 100:
        if sent.get("DISCOUNT_SUM") is None:
            raise _missing("Discount Sum (DISCOUNT_SUM)", "Percentage", ", and the rate is 100%")
        return _PERCENTAGE, 100, exclusive + _number(sent["DISCOUNT_SUM"], 0)
    return _PERCENTAGE, rate, exclusive / (1 - rate / 100)


def _missing(what: str, kind: str, more: str = "") -> RestError:
    text = f"{what} is required if {kind} Discount Type (DISCOUNT_TYPE_ID) is defined{more}"
    return RestError("ERROR_CORE", text)


def _name(row: Mapping[str, Any]) -> str:
    return str(row["PRODUCT_NAME"] or f"[{row['ID']}]")


def _number(value: Any, default: float) -> float:
    """A number from a client; a whole one as such; never negative or beyond 1e15."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    if not math.isfinite(number):
        return default
    number = min(max(number, 0.0), 1e15)
    return int(number) if number.is_integer() else number


_VERBS: dict[str, Callable[[Entity, Call], MethodResult]] = {"get": get, "set": replace}
METHODS: dict[str, Callable[[Call], MethodResult]] = {
    f"crm.{entity.table}.productrows.{verb}": partial(method, entity)
    for entity in (LEAD, DEAL)
    for verb, method in _VERBS.items()
}
