"""The further fields of a user in its lead: what to write, what a lead holds, and what differs.

The field map says which there are; without a map, everything here is empty.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from leadline.bitrix24.lead_fields.applied_fields import NOTHING, AppliedFields, FoundFields
from leadline.mapping import lead_values, targets
from leadline.mapping.current import field_map
from leadline.mapping.lead_values import LeadValues
from leadline.mapping.targets import is_multifield

if TYPE_CHECKING:
    from leadline.mapping.field_map import FieldMap
    from leadline.mapping.user_field import UserField


class Desired(Protocol):
    """The further fields of a user, as a message carries them."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """Values by name; None: cleared. Absent: the lead's own value stays."""

    @property
    def refused(self) -> frozenset[str]:
        """Where the portal refused to hold a value of this user, or a constant."""


#: Types of fields whose values may tell of a person: an erasure clears them.
_PERSONAL = frozenset({"text", "email", "phone", "date"})


def wanted(state: Desired) -> LeadValues:
    """What the lead of this user should hold, by where it lives."""
    chosen = field_map() if state.fields else None
    if chosen is None:
        return {}
    held = lead_values.of_user(chosen, state.fields)
    return {target: value for target, value in held.items() if target not in state.refused}


def columns() -> tuple[str, ...]:
    """The columns and multi-fields that a lookup has to read."""
    chosen = field_map()
    return chosen.columns if chosen else ()


def phone_types() -> frozenset[str]:
    """The value types of phones that are further fields."""
    chosen = field_map()
    return chosen.other_phone_types if chosen else frozenset()


def create(state: Desired) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The fields and multi-field rows of a new lead, with the constants."""
    chosen = field_map()
    if chosen is None:
        return {}, []
    fields: dict[str, Any] = _constants(chosen, state.refused)
    rows = []
    for target, value in wanted(state).items():
        if value is None:
            continue
        if is_multifield(target):
            rows.append(_row(target, value))
        else:
            fields |= _column(chosen, target, value)
    return fields, rows


def update(
    applied: AppliedFields, state: Desired
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """The fields and multi-field rows that differ from last applied."""
    fields: dict[str, Any] = {}
    rows: dict[str, dict[str, str]] = {}
    chosen = field_map()
    for target, value in _changed(applied, state):
        if not is_multifield(target):
            assert chosen is not None  # noqa: S101 - else nothing is wanted
            fields |= _column(chosen, target, value)
        elif target in applied.rows:
            rows[str(applied.rows[target])] = _row(target, value or "")
        elif value is not None and target in applied.values:
            rows[f"n{len(rows) + 1}"] = _row(target, value)  # n0 is the user's own phone
    return fields, rows


def cleared() -> dict[str, str]:
    """The columns of the map that may tell of a person, empty."""
    chosen = field_map()
    if chosen is None:
        return {}
    return {
        targets.item_name(target): ""
        for target, (_, described) in chosen.by_target.items()
        if described.type in _PERSONAL and not is_multifield(target)
    }


def rows_of(found: FoundFields) -> list[str]:
    """The rows of all multi-fields of the map, as `EMAIL:12`."""
    return [f"{kind}:{row.row_id}" for kind, rows in found.rows.items() for row in rows]


def is_blank(found: FoundFields) -> bool:
    """Whether a lead has nothing of a person in the fields of the map."""
    chosen = field_map()
    if chosen is None:
        return True
    texts = (
        found.values.get(target)
        for target, (_, described) in chosen.by_target.items()
        if described.type in _PERSONAL
    )
    return not any(texts) and not any(found.rows.values())


def needs_lookup(applied: AppliedFields, state: Desired) -> bool:
    """Whether the lead must be read first.

    For a changed multi-field of which the row is unknown, or else the value would be added. For a
    field that the CRM owns, as an existing value must stay.
    """
    chosen = field_map() if state.fields else None
    if chosen is None:
        return False
    for target, value in wanted(state).items():
        described = chosen.by_target[target][1]
        is_known = target in applied.values
        if described.owner == "crm" and not is_known and value is not None:
            return True
        if not is_multifield(target) or target in applied.rows:
            continue
        has_row = not is_known or applied.values[target] is not None
        if has_row and (not is_known or differs(described, applied.values[target], value)):
            return True
    return False


def _changed(applied: AppliedFields, state: Desired) -> Iterator[tuple[str, str | None]]:
    """What is wanted and not known to be applied."""
    chosen = field_map() if state.fields else None
    if chosen is None:
        return
    for target, value in wanted(state).items():
        described = chosen.by_target[target][1]
        if target not in applied.values:
            if described.owner == "leadline":
                yield target, value
        elif differs(described, applied.values[target], value):
            yield target, value


def differs(described: "UserField", held: str | None, value: str | None) -> bool:
    """Whether a lead that holds this needs a write to hold that value.

    An existing value of a field that the CRM owns stays.
    """
    if lead_values.is_same(described, held, value):
        return False
    if described.owner == "crm":
        return value is not None and lead_values.is_empty(described, held)
    return True


def differences(found: FoundFields, state: Desired) -> dict[str, tuple[str | None, str | None]]:
    """Of each field that a write would change, by name: what the lead has, and what it should."""
    chosen = field_map() if state.fields else None
    if chosen is None:
        return {}
    held = found.as_applied(wanted(state)).values
    differing = {}
    for target, value in wanted(state).items():
        name, described = chosen.by_target[target]
        if differs(described, held.get(target), value):
            differing[name] = (held.get(target), value)
    return differing


def open_fields(applied: AppliedFields, state: Desired) -> list[str]:
    """The fields of a written lead that it could not take, by name.

    The portal refused the value or has dropped the field, or the map no longer allows the value.
    """
    chosen = field_map()
    if chosen is None:
        return []
    values = wanted(state)
    return [
        name
        for target, (name, described) in chosen.by_target.items()
        if state.fields.get(name) is not None
        and described.owner == "leadline"
        and (target not in values or target not in applied.values)
    ]


def as_written(applied: AppliedFields) -> AppliedFields:
    """What to remember after a write: an empty field that the CRM owns may be filled there."""
    chosen = field_map()
    if chosen is None:
        return NOTHING
    crm = {
        target for target, (_, described) in chosen.by_target.items() if described.owner == "crm"
    }
    values = {
        target: value
        for target, value in applied.values.items()
        if target not in crm or value is not None
    }
    return AppliedFields(values, applied.rows)


def _column(chosen: "FieldMap", target: str, value: str | None) -> dict[str, str]:
    described = chosen.by_target[target][1]
    return {targets.item_name(target): lead_values.as_sent(target, described.type, value)}


def _row(target: str, value: str) -> dict[str, str]:
    kind, _, value_type = target.partition(":")
    return {"typeId": kind, "valueType": value_type, "value": value}


def _constants(chosen: "FieldMap", refused: frozenset[str]) -> dict[str, Any]:
    return {
        targets.item_name(name): lead_values.constant(name, value)
        for name, value in chosen.constants.items()
        if name not in refused
    }
