"""A further field of users, as the map describes it."""

from datetime import date
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from leadline.mapping import targets
from leadline.mapping.targets import COLUMNS, DEFAULT_VALUE_TYPE, MULTIFIELDS, Kind, Value

FieldType = Literal["text", "email", "phone", "number", "bool", "date", "one-of"]

#: Maximum length that a map may give a text, and the one if it gives none.
TEXT_MAX = 4000
DEFAULT_LENGTH = 255
#: The length of a value of a multi-field.
MULTIFIELD_MAX = 250
#: Largest absolute value of a number: a double holds its hundredths exactly.
NUMBER_MAX = 10**13
#: Maximum entries of a list of values.
VALUES_MAX = 500

#: The types of further fields that a column of each kind can hold.
_FITTING: dict[Kind, frozenset[FieldType]] = {
    "text": frozenset({"text", "email", "phone", "number", "date", "one-of"}),
    "number": frozenset({"number", "one-of"}),
    "bool": frozenset({"bool"}),
    "date": frozenset({"date"}),
    "reference": frozenset({"text", "number", "one-of"}),
}
_MULTIFIELD_TYPES: dict[str, FieldType] = {
    "EMAIL": "email",
    "PHONE": "phone",
    "WEB": "text",
    "IM": "text",
}
#: Limits, and the types that have them.
_LIMITS: dict[str, tuple[FieldType, ...]] = {
    "min_length": ("text",),
    "max_length": ("text",),
    "multiline": ("text",),
    "min": ("number", "date"),
    "max": ("number", "date"),
    "integer": ("number",),
    "values": ("one-of",),
}


class UserField(BaseModel):
    """One `[fields.NAME]` of the map."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    type: FieldType
    #: The column, user field or multi-field of the lead.
    lead: str
    #: The value type, of a multi-field: WORK, HOME, MOBILE, …
    value_type: str | None = None
    #: Which side's value wins; with `crm` an existing value of the lead is never overwritten.
    owner: Literal["leadline", "crm"] = "leadline"
    required: bool = False
    #: The value of a new user that is given none.
    default: str | int | float | bool | date | None = None
    #: Shown in API docs and console.
    description: str | None = Field(None, max_length=200)

    min_length: int = Field(0, ge=0)
    max_length: int | None = Field(None, ge=1, le=TEXT_MAX)
    #: Line breaks are allowed.
    multiline: bool = False
    min: int | float | date | None = None
    max: int | float | date | None = None
    integer: bool = False
    #: The values of a `one-of`, each with the id that the portal's list has for it.
    values: dict[str, str] | None = None

    @field_validator("values", mode="before")
    @classmethod
    def _values_as_table(cls, values: object) -> object:
        """The values as a table: in a list, each value is its own id; an id may be a number."""
        if isinstance(values, list):
            values = {str(value): value for value in values}
        if not isinstance(values, dict) or not 1 <= len(values) <= VALUES_MAX:
            raise ValueError(f"must be a list or a table of 1 to {VALUES_MAX} values")
        if not all(
            isinstance(list_id, str | int) and str(list_id).strip() for list_id in values.values()
        ):
            raise ValueError("each value needs the id of an entry of the portal's list")
        ids = [str(list_id) for list_id in values.values()]
        if len(set(ids)) < len(ids):
            raise ValueError("no two values may have the same id")
        return {name: str(list_id) for name, list_id in values.items()}

    @field_validator("lead")
    @classmethod
    def _check_lead(cls, name: str) -> str:
        if why := targets.why_unmappable(name):
            raise ValueError(f"{name} {why}")
        return name

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        self._check_limits()
        self._check_target()
        self._check_default()
        return self

    def _check_limits(self) -> None:
        for name, types in _LIMITS.items():
            if name in self.model_fields_set and self.type not in types:
                raise ValueError(f"{name} is a limit of {' and '.join(types)}, not of {self.type}")
        if self.type == "one-of" and self.values is None:
            raise ValueError("one-of needs `values`")
        for limit in (self.min, self.max):
            if limit is not None and isinstance(limit, date) != (self.type == "date"):
                raise ValueError(f"min and max of a {self.type} must be {self.type}s")
        if self.min is not None and self.max is not None and self.min > self.max:  # type: ignore[operator]
            raise ValueError("min is above max")
        if self.min_length > self.length:
            raise ValueError("min_length is above max_length")

    def _check_target(self) -> None:
        if self.lead in MULTIFIELDS:
            field_type = _MULTIFIELD_TYPES[self.lead]
            if self.type != field_type:
                raise ValueError(f"{self.lead} holds type {field_type!r}, not {self.type!r}")
            if not targets.VALUE_TYPE.fullmatch(self.value_type or DEFAULT_VALUE_TYPE):
                raise ValueError("value_type is an upper-case word such as WORK, HOME or MOBILE")
            if self.target == targets.OWN_PHONE:
                raise ValueError(
                    "PHONE with value_type WORK is the user's own phone: use another value_type"
                )
        elif self.value_type is not None:
            raise ValueError(f"value_type is for {', '.join(MULTIFIELDS)}")
        elif self.lead in COLUMNS:
            column = COLUMNS[self.lead]
            if self.type not in _FITTING[column.kind]:
                types = ", ".join(sorted(_FITTING[column.kind]))
                raise ValueError(f"{self.lead} holds {types}, not {self.type}")
            if column.max_length and self.type == "text" and self.length > column.max_length:
                raise ValueError(f"{self.lead} has {column.max_length} characters: set max_length")

    def _check_default(self) -> None:
        if self.default is None:
            return
        if self.required:
            raise ValueError("a required field has no default: clients always give it")
        if why := self.why_invalid(self.default_value):
            raise ValueError(f"default {why}")

    def why_invalid(self, value: Value) -> str | None:  # noqa: PLR0911 - a return for each type
        """Why a default or a constant is no value of this type; None if it is one."""
        match self.type:
            case "bool":
                return None if isinstance(value, bool) else "must be true or false"
            case "number":
                if isinstance(value, bool) or not isinstance(value, int | float):
                    return "must be a number"
                return self._why_out_of_range(value)
            case "one-of":
                choices = self.values or {}
                return None if value in choices else f"must be one of {', '.join(choices)}"
            case "date":
                # `default` itself: in `value`, a date is a text already.
                if not isinstance(self.default, date):
                    return "must be a date like 2026-01-31, without quotes"
                return self._why_out_of_range(self.default)
            case "text":
                if not isinstance(value, str):
                    return "must be a text"
                if not self.min_length <= len(value) <= self.length:
                    return f"must have {self.min_length} to {self.length} characters"
                return None
        return f"can't be given for {self.type}"

    def _why_out_of_range(self, value: float | date) -> str | None:
        if self.min is not None and value < self.min:  # type: ignore[operator]
            return f"is below min {self.min}"
        if self.max is not None and value > self.max:  # type: ignore[operator]
            return f"is above max {self.max}"
        return None

    @property
    def default_value(self) -> Value:
        """The default in the form of a user's value: dates are texts."""
        return self.default.isoformat() if isinstance(self.default, date) else self.default

    @property
    def length(self) -> int:
        """Maximum characters of a value."""
        if self.type == "one-of":
            values = self.values or {"": ""}  # without values the map is rejected
            return max(map(len, values))
        if self.type in {"email", "phone"} or self.lead in MULTIFIELDS:
            return min(self.max_length or MULTIFIELD_MAX, MULTIFIELD_MAX)
        column = COLUMNS.get(self.lead)
        limit = column.max_length if column else None
        return self.max_length or limit or DEFAULT_LENGTH

    @property
    def target(self) -> str:
        """Where the field lives in the lead: `SOURCE_ID`, or in a multi-field `EMAIL:WORK`."""
        if self.lead in MULTIFIELDS:
            return f"{self.lead}:{self.value_type or DEFAULT_VALUE_TYPE}"
        return self.lead
