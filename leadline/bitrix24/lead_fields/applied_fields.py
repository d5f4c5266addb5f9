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
    value_type: str


@dataclass(frozen=True, slots=True)
class AppliedFields:
    """The further fields of a lead as last applied, by where they live."""

    #: None: the lead has no value. Absent: unknown.
    values: Mapping[str, str | None] = field(default_factory=dict)
    #: Of multi-fields, the ids of the rows; absent although there is a value: look it up.
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundFields:
    """What a lead holds in all columns and multi-fields of the map."""

    values: Mapping[str, str | None] = field(default_factory=dict)
    #: By multi-field: EMAIL, PHONE, …
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)

    def as_applied(
        self, wanted: LeadValues, previous: AppliedFields | None = None
    ) -> AppliedFields:
        """As last applied: of several rows the user's own value, else the one last applied.

        Else it is the first of its value type. A column that the portal does not show has no value.
        """
        chosen = field_map()
        if chosen is None:
            return NOTHING
        values: dict[str, str | None] = {}
        ids: dict[str, int] = {}
        for target, (_, described) in chosen.by_target.items():
            if not is_multifield(target):
                values[target] = self.values.get(target)
                continue
            known = previous.rows.get(target) if previous else None
            row = _choose_row(self.rows.get(described.lead, ()), target, wanted.get(target), known)
            values[target] = row.value if row else None
            if row:
                ids[target] = row.row_id
        return AppliedFields(values, ids)


def _choose_row(
    rows: Sequence[Row], target: str, value: str | None, known: int | None
) -> Row | None:
    """The user's own value, else the one last applied, else the first of this value type."""
    value_type = target.partition(":")[2]

    def is_own(row: Row) -> bool:
        return row.value.casefold() == (value or "").casefold()

    candidates = (
        row for row in rows if row.value_type == value_type or row.row_id == known or is_own(row)
    )
    return min(candidates, key=lambda row: (not is_own(row), row.row_id != known), default=None)


NOTHING = AppliedFields()
NOTHING_FOUND = FoundFields()
