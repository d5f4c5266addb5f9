"""The further fields of a lead: as last applied, and as a lookup found them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from leadline.mapping.current import field_map
from leadline.mapping.lead_values import LeadValues
from leadline.mapping.targets import is_multifield


@dataclass(frozen=True, slots=True)
class Row:
    """A value of a multi-field."""

    value: str
    row_id: int
    #: WORK, HOME, …
    value_type: str


@dataclass(frozen=True, slots=True)
class AppliedFields:
    """The further fields of a lead as last applied, by target."""

    #: None: the lead has no value. Absent: unknown.
    values: Mapping[str, str | None] = field(default_factory=dict)
    #: The row ids of multi-fields. A value without a row id must be looked up before it is changed.
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundFields:
    """The columns and multi-fields of the map as a lookup found them in a lead."""

    #: By column.
    values: Mapping[str, str | None] = field(default_factory=dict)
    #: By multi-field: EMAIL, PHONE, …
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)

    def as_applied(
        self, desired: LeadValues, previous: AppliedFields | None = None
    ) -> AppliedFields:
        """These fields as last applied, with one row of each multi-field.

        Of several rows it is the one with the desired value, else the one last applied, else the
        first of the value type. A column missing from the portal's answer has no value.
        """
        mapping = field_map()
        if mapping is None:
            return NO_FIELDS_APPLIED
        values: dict[str, str | None] = {}
        ids: dict[str, int] = {}
        for target, (_, user_field) in mapping.by_target.items():
            if not is_multifield(target):
                values[target] = self.values.get(target)
                continue
            applied_row_id = previous.rows.get(target) if previous else None
            row = _choose_row(
                self.rows.get(user_field.lead, ()), target, desired.get(target), applied_row_id
            )
            values[target] = row.value if row else None
            if row:
                ids[target] = row.row_id
        return AppliedFields(values, ids)


def _choose_row(
    rows: Sequence[Row], target: str, value: str | None, applied_row_id: int | None
) -> Row | None:
    """The row with this value, else the row last applied, else the first of this value type."""
    value_type = target.partition(":")[2]  # of `EMAIL:WORK`

    def has_value(row: Row) -> bool:
        return row.value.casefold() == (value or "").casefold()

    candidates = (
        row
        for row in rows
        if row.value_type == value_type or row.row_id == applied_row_id or has_value(row)
    )

    def rank(row: Row) -> tuple[bool, bool]:
        # False sorts first.
        return not has_value(row), row.row_id != applied_row_id

    return min(candidates, key=rank, default=None)


NO_FIELDS_APPLIED = AppliedFields()
NO_FIELDS_FOUND = FoundFields()
