"""Parses the further fields of a written lead, and of a lead in a list."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from leadline.bitrix24.lead_fields.applied_fields import (
    NO_FIELDS_APPLIED,
    NO_FIELDS_FOUND,
    AppliedFields,
    FoundFields,
    Row,
)
from leadline.bitrix24.lead_fields.further_fields import DesiredFields, as_written, desired_values
from leadline.mapping import lead_values, targets
from leadline.mapping.current import field_map
from leadline.mapping.lead_values import LeadValues
from leadline.mapping.targets import is_multifield

if TYPE_CHECKING:
    from leadline.mapping.user_field import UserField


def parse_item(item: Mapping[str, Any], state: DesiredFields) -> AppliedFields:
    """The fields of a lead as a write returned it.

    Of the fields that the answer leaves out, a standard one counts as written, and a user field
    (`UF_…`) as unknown.
    """
    mapping = field_map()
    if mapping is None:
        return NO_FIELDS_APPLIED
    desired = desired_values(state)
    values: dict[str, str | None] = {}
    for target, (_, user_field) in mapping.by_target.items():
        if is_multifield(target):
            continue
        key = targets.name_in(item, target)
        if key is not None:
            values |= _parse_value(target, user_field, item[key])
        elif target in desired and not targets.is_user_field(target):
            values[target] = desired[target]
    rows = _item_rows(item.get("fm"))
    if "fm" not in item or rows is None:
        return as_written(AppliedFields(values))
    applied = FoundFields(values, rows).as_applied(desired)
    values |= {target: applied.values[target] for target in applied.values if is_multifield(target)}
    return as_written(AppliedFields(values, applied.rows))


def parse_row(row: Mapping[str, Any]) -> FoundFields | None:
    """The fields of a lead in a list; None if the rows of a multi-field are unreadable."""
    mapping = field_map()
    if mapping is None:
        return NO_FIELDS_FOUND
    values: dict[str, str | None] = {}
    rows: dict[str, Sequence[Row]] = {}
    for target, (_, user_field) in mapping.by_target.items():
        if is_multifield(target):
            field_rows = _rows(
                row.get(user_field.lead), value="VALUE", row_id="ID", value_type="VALUE_TYPE"
            )
            if field_rows is None:
                return None
            rows[user_field.lead] = field_rows
        elif target in row:
            values |= _parse_value(target, user_field, row[target])
    return FoundFields(values, rows)


def _parse_value(target: str, user_field: "UserField", raw: Any) -> LeadValues:
    """The value by target; empty for a field with several values, which the map can't describe."""
    try:
        return {target: lead_values.from_lead(user_field, raw)}
    except lead_values.InvalidValue:
        return {}


def _item_rows(fm: Any) -> dict[str, list[Row]] | None:
    """The rows of `fm`, all multi-fields, by multi-field; None if one is unreadable."""
    rows: dict[str, list[Row]] = {}
    if fm and not isinstance(fm, list):
        return None
    for row in fm or ():
        parsed = _rows([row], value="value", row_id="id", value_type="valueType")
        if parsed is None:
            return None
        rows.setdefault(str(row.get("typeId")), []).extend(parsed)
    return rows


def _rows(rows: Any, *, value: str, row_id: str, value_type: str) -> tuple[Row, ...] | None:
    """The rows that have a value, parsed by these keys; None if a row is unreadable."""
    if not rows:
        return ()
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    numbers = [str(row.get(row_id, "")) for row in rows]
    if not all(number.isascii() and number.isdigit() for number in numbers):
        return None
    return tuple(
        Row(str(row[value]), int(number), str(row.get(value_type, "")))
        for row, number in zip(rows, numbers, strict=True)
        if row.get(value)
    )
