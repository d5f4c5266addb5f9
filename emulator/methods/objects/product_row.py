"""Product rows: their prices, which depend on each other, and the sum of an object's rows.

Documentation: crm/leads/crm-lead-productrows-set.md.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from emulator.entities.entity import Entity
from emulator.entities.multifields import positive_int
from emulator.entities.store import Item, Store
from emulator.errors import RestError
from emulator.methods.call import Call
from emulator.writes import save
from emulator.writes.write import Write

ROWS_MAX = 500
#: Types of discount: a sum of money, a percentage.
_ABSOLUTE, _PERCENTAGE = 1, 2


def rows_of(store: Store, entity: Entity, item_id: int) -> dict[int, dict[str, Any]]:
    """The rows of an object by their id."""
    cursor = store.db.execute(
        "SELECT id, data FROM product_row WHERE entity = ? AND owner_id = ? ORDER BY id",
        (entity.type_id, item_id),
    )
    return {row_id: json.loads(data) for row_id, data in cursor}


def insert_row(store: Store, entity: Entity, item_id: int, row: Mapping[str, Any]) -> int:
    """Add a row; returns its id."""
    cursor = store.db.execute(
        "INSERT INTO product_row (entity, owner_id, data) VALUES (?, ?, ?)",
        (entity.type_id, item_id, json.dumps(row, ensure_ascii=False)),
    )
    return int(cursor.lastrowid or 0)


def replace_rows(
    store: Store, entity: Entity, item_id: int, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Replace all rows of an object with these."""
    with store.transaction():
        store.db.execute(
            "DELETE FROM product_row WHERE entity = ? AND owner_id = ?", (entity.type_id, item_id)
        )
        for row in rows:
            insert_row(store, entity, item_id, row)


def recalculate_amount(call: Call, entity: Entity, item: Item, method: str, sent: object) -> None:
    """Set the amount of an object to the sum of its rows, unless it is manual."""
    if item.data.get("IS_MANUAL_OPPORTUNITY") != "Y":
        rows = rows_of(call.portal.store, entity, item.id).values()
        amount = {"OPPORTUNITY": sum(row["PRICE"] * row["QUANTITY"] for row in rows)}
        write = Write(
            entity, method, sent, fields=amount, application=call.application, user=call.user
        )
        save.update(call.portal, item, write)


def product_row(sent: Mapping[str, Any]) -> dict[str, Any]:
    """A row with all prices, computed from the sent PRICE, which includes tax and discount.

    NETTO is the price without both, BRUTTO with tax only, EXCLUSIVE with the discount only.
    """
    price = _number(sent.get("PRICE"), 0)
    tax = sent.get("TAX_RATE")
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
    """The type and rate (in percent) of the discount, and the price before it; raises RestError.

    `exclusive` is the price after it, without tax.
    """
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


def _number(value: Any, default: float) -> float:
    """A client's number, limited to 0 to 1e15; whole numbers become int."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    if not math.isfinite(number):
        return default
    number = min(max(number, 0.0), 1e15)
    return int(number) if number.is_integer() else number
