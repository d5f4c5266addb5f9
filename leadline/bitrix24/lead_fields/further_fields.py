"""The further fields of a user in its lead: writes and differences.

`target` is where a field lives in the lead, as the field map has it: `SOURCE_ID`, `EMAIL:WORK`.
Without a field map everything here is empty.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from leadline.bitrix24.lead_fields import neutral
from leadline.bitrix24.lead_fields.applied_fields import (
    NO_FIELDS_APPLIED,
    AppliedFields,
    FoundFields,
)
from leadline.mapping import lead_values, targets
from leadline.mapping.current import field_map
from leadline.mapping.lead_values import LeadValues
from leadline.mapping.targets import is_multifield

if TYPE_CHECKING:
    from leadline.mapping.field_map import FieldMap
    from leadline.mapping.user_field import UserField


class DesiredFields(Protocol):
    """The further fields of a user, as a message carries them."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """Values by name; None: cleared. Absent: the lead's own value stays."""

    @property
    def refused(self) -> frozenset[str]:
        """Targets for which the portal refused a value of this user, or a constant."""


#: Types of fields whose values may be personal data: an erasure clears them.
_PERSONAL = frozenset({"text", "email", "phone", "date"})


def desired_values(state: DesiredFields) -> LeadValues:
    """The values that the lead of this user should have, by target."""
    mapping = field_map() if state.fields else None
    if mapping is None:
        return {}
    values = lead_values.of_user(mapping, state.fields)
    return {target: value for target, value in values.items() if target not in state.refused}


def columns() -> tuple[str, ...]:
    """The columns and multi-fields that a lookup has to read."""
    mapping = field_map()
    return mapping.columns if mapping else ()


def phone_types() -> frozenset[str]:
    """The value types of phones that are further fields."""
    mapping = field_map()
    return mapping.other_phone_types if mapping else frozenset()


def of_new_lead(state: DesiredFields) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The fields and multi-field rows of a new lead, with the constants of the map."""
    mapping = field_map()
    if mapping is None:
        return {}, []
    fields: dict[str, Any] = _constants(mapping, state.refused)
    rows = []
    for target, value in desired_values(state).items():
        if value is None:
            continue
        if is_multifield(target):
            rows.append(_row(target, value))
        else:
            fields |= _column(mapping, target, value)
    return fields, rows


def to_update(
    applied: AppliedFields, state: DesiredFields
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """The fields that differ from last applied, and the multi-field rows, by row id.

    New rows have the ids n1, n2, …; an empty value deletes its row.
    """
    fields: dict[str, Any] = {}
    rows: dict[str, dict[str, str]] = {}
    mapping = field_map()
    for target, value in _values_to_write(applied, state):
        if not is_multifield(target):
            assert mapping is not None  # noqa: S101 - without a map nothing differs
            fields |= _column(mapping, target, value)
        elif target in applied.rows:
            rows[str(applied.rows[target])] = _row(target, value or "")
        elif value is not None and target in applied.values:  # the lead is known to have no row
            rows[f"n{len(rows) + 1}"] = _row(target, value)  # n0 is the user's own phone
    return fields, rows


def blank_columns(lead_id: int, *, is_neutral: bool = False) -> dict[str, str]:
    """The columns of the map that may hold personal data, with the value that an erasure writes.

    Mandatory columns get a neutral value, the others are emptied; with `is_neutral` all of them
    get a neutral value.
    """
    mapping = field_map()
    if mapping is None:
        return {}
    written = {}
    for target, (_, user_field) in mapping.by_target.items():
        if user_field.type in _PERSONAL and not is_multifield(target):
            is_emptied = not is_neutral and not _may_be_mandatory(user_field)
            value = "" if is_emptied else neutral.column(user_field.type, lead_id)
            written[targets.item_name(target)] = value
    return written


def rows_of(found: FoundFields) -> list[str]:
    """The rows of all multi-fields of the map, as `EMAIL:12`."""
    return [f"{kind}:{row.row_id}" for kind, rows in found.rows.items() for row in rows]


def is_blank(found: FoundFields, lead_id: int) -> bool:
    """Whether the fields of the map hold no personal data in this lead."""
    mapping = field_map()
    if mapping is None:
        return True
    has_text = any(
        found.values.get(target) not in {None, "", neutral.column(user_field.type, lead_id)}
        for target, (_, user_field) in mapping.by_target.items()
        if user_field.type in _PERSONAL and not is_multifield(target)
    )
    has_row = any(
        row.value != neutral.row(kind, lead_id) for kind, rows in found.rows.items() for row in rows
    )
    return not has_text and not has_row


def _may_be_mandatory(user_field: "UserField") -> bool:
    # The map must require a field, or have a default for it, if the portal requires it.
    return user_field.required or user_field.default is not None


def needs_lookup(applied: AppliedFields, state: DesiredFields) -> bool:
    """Whether the lead must be read before a write.

    Without its row's id, a changed multi-field would get a second value. And a field that the CRM
    owns must keep its value, so its value must be known.
    """
    mapping = field_map() if state.fields else None
    if mapping is None:
        return False
    for target, value in desired_values(state).items():
        user_field = mapping.by_target[target].field
        is_known = target in applied.values
        if user_field.owner == "crm" and not is_known and value is not None:
            return True
        if not is_multifield(target) or target in applied.rows:
            continue
        if not is_known:
            return True
        has_row = applied.values[target] is not None
        if has_row and differs(user_field, applied.values[target], value):
            return True
    return False


def _values_to_write(
    applied: AppliedFields, state: DesiredFields
) -> Iterator[tuple[str, str | None]]:
    """The values to write, by target: those that differ from last applied, or are unknown."""
    mapping = field_map() if state.fields else None
    if mapping is None:
        return
    for target, value in desired_values(state).items():
        user_field = mapping.by_target[target].field
        if target not in applied.values:
            if user_field.owner == "leadline":
                yield target, value
        elif differs(user_field, applied.values[target], value):
            yield target, value


def differs(user_field: "UserField", lead_value: str | None, value: str | None) -> bool:
    """Whether a lead with `lead_value` must be written to have `value`.

    An existing value of a field that the CRM owns stays.
    """
    if lead_values.is_same(user_field, lead_value, value):
        return False
    if user_field.owner == "crm":
        return value is not None and lead_values.is_empty(user_field, lead_value)
    return True


def differences(
    found: FoundFields, state: DesiredFields
) -> dict[str, tuple[str | None, str | None]]:
    """The fields that a write would change, by name: the lead's value, and the user's."""
    mapping = field_map() if state.fields else None
    if mapping is None:
        return {}
    current = found.as_applied(desired_values(state)).values
    differing = {}
    for target, value in desired_values(state).items():
        name, user_field = mapping.by_target[target]
        lead_value = current.get(target)
        if lead_values.is_rounded(user_field, lead_value, value):
            continue  # a write would change nothing
        if differs(user_field, lead_value, value):
            differing[name] = (lead_value, value)
    return differing


def open_fields(applied: AppliedFields, state: DesiredFields) -> list[str]:
    """The names of the fields that a write could not bring into this lead.

    The portal refused the value or the clearing of it, or has deleted the field; or the map no
    longer allows the value.
    """
    mapping = field_map()
    if mapping is None:
        return []
    values = desired_values(state)
    names = []
    for target, (name, user_field) in mapping.by_target.items():
        was_given = state.fields.get(name) is not None or target in state.refused
        is_applied = target in values and target in applied.values
        if was_given and not is_applied and user_field.owner == "leadline":
            names.append(name)
    return names


def as_written(applied: AppliedFields) -> AppliedFields:
    """Last applied after a write, without empty fields that the CRM owns: it may fill them."""
    mapping = field_map()
    if mapping is None:
        return NO_FIELDS_APPLIED
    crm_owned = {
        target for target, (_, user_field) in mapping.by_target.items() if user_field.owner == "crm"
    }
    values = {
        target: value
        for target, value in applied.values.items()
        if target not in crm_owned or value is not None
    }
    return AppliedFields(values, applied.rows)


def _column(mapping: "FieldMap", target: str, value: str | None) -> dict[str, str]:
    user_field = mapping.by_target[target].field
    return {targets.item_name(target): lead_values.as_sent(target, user_field.type, value)}


def _row(target: str, value: str) -> dict[str, str]:
    kind, _, value_type = target.partition(":")
    return {"typeId": kind, "valueType": value_type, "value": value}


def _constants(mapping: "FieldMap", refused: frozenset[str]) -> dict[str, Any]:
    return {
        targets.item_name(name): lead_values.constant_as_sent(name, value)
        for name, value in mapping.constants.items()
        if name not in refused
    }
