"""Parses the further fields of a lead: of one that was written, of one in a list."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from leadline.bitrix24.lead_fields.applied_fields import (
    NOTHING,
    NOTHING_FOUND,
    AppliedFields,
    FoundFields,
    Row,
)
from leadline.bitrix24.lead_fields.further_fields import Desired, as_written, wanted
from leadline.mapping import lead_values, targets
from leadline.mapping.current import field_map
from leadline.mapping.lead_values import LeadValues
from leadline.mapping.targets import is_multifield

if TYPE_CHECKING:
    from leadline.mapping.user_field import UserField


def parse_item(item: Mapping[str, Any], state: Desired) -> AppliedFields:
    """The fields of a lead as a write returned it.

    If the answer leaves one out, a standard column counts as written, and a user field as unknown.
    """
    mapping = field_map()
    if mapping is None:
        return NOTHING
    sent = wanted(state)
    values: dict[str, str | None] = {}
    for target, (_, user_field) in mapping.by_target.items():
        if is_multifield(target):
            continue
        key = targets.name_in(item, target)
        if key is not None:
            values |= _parse_value(target, user_field, item[key])
        elif target in sent and not targets.is_user_field(target):
            values[target] = sent[target]
    rows = _item_rows(item.get("fm"))
    found = FoundFields(values, rows).as_applied(sent)
    if "fm" in item:
        values |= {target: found.values[target] for target in found.values if is_multifield(target)}
    return as_written(AppliedFields(values, found.rows))


def parse_row(row: Mapping[str, Any]) -> FoundFields:
    """The fields of a lead in a list."""
    mapping = field_map()
    if mapping is None:
        return NOTHING_FOUND
    values: dict[str, str | None] = {}
    rows: dict[str, Sequence[Row]] = {}
    for target, (_, user_field) in mapping.by_target.items():
        if is_multifield(target):
            found = row.get(user_field.lead) or ()
            rows[user_field.lead] = tuple(_rows(found, "VALUE", "ID", "VALUE_TYPE"))
        elif target in row:
            values |= _parse_value(target, user_field, row[target])
    return FoundFields(values, rows)


def _parse_value(target: str, user_field: "UserField", raw: Any) -> LeadValues:
    """The value by target; empty for a field with several values, which a map can't fill."""
    try:
        return {target: lead_values.from_lead(user_field, raw)}
    except lead_values.InvalidValue:
        return {}


def _item_rows(fm: Any) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    for row in fm if isinstance(fm, list) else ():
        if isinstance(row, dict):
            rows.setdefault(str(row.get("typeId")), []).extend(
                _rows([row], "value", "id", "valueType")
            )
    return rows


def _rows(rows: Any, value: str, row_id: str, value_type: str) -> Iterator[Row]:
    for row in rows if isinstance(rows, list | tuple) else ():
        number = str(row.get(row_id, "")) if isinstance(row, dict) else ""
        if number.isascii() and number.isdigit() and row.get(value):
            yield Row(str(row[value]), int(number), str(row.get(value_type, "")))
