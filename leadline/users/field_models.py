"""Models of requests extended by the further fields of the map, each validated by its type."""

import math
import re
from datetime import date
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, create_model

from leadline.mapping.field_map import FieldMap
from leadline.mapping.targets import Value
from leadline.mapping.user_field import MULTIFIELD_MAX, NUMBER_MAX, UserField
from leadline.users.model import Changes, NewUser, Phone, WithFurtherFields, printable

Base = TypeVar("Base", bound=WithFurtherFields)

#: A rough rule of addresses that a mail server could accept (RFC 5321, 4.5.3.1).
_EMAIL = re.compile(r"[^@\s\"(),:;<>\[\\\]]{1,64}@(?:[^@\s.]{1,63}\.)+[^@\s.]{2,63}")


@lru_cache(maxsize=64)
def extend(model: type[Base], mapping: FieldMap) -> type[Base]:
    """The model with the fields of this map."""
    is_change, is_new = issubclass(model, Changes), issubclass(model, NewUser)
    definitions: dict[str, Any] = {}
    for name, field in mapping.fields.items():
        field_type = annotation(field)
        if field.required and not is_change:
            definitions[name] = (field_type, ...)
        elif field.required:
            definitions[name] = (field_type, None)  # absent: unchanged; null is no value
        else:
            definitions[name] = (field_type | None, field.default_value if is_new else None)
    model_with_fields: type[Base] = create_model(model.__name__, __base__=model, **definitions)
    model_with_fields.__doc__ = model.__doc__
    model_with_fields.further_names = tuple(sorted(mapping.fields))
    return model_with_fields


def annotation(field: UserField) -> Any:
    """The type of this field in requests and in the API's schema."""
    description = Field(description=field.description) if field.description else None
    field_type = _TYPES[field.type](field)
    return Annotated[field_type, description] if description else field_type


def _text(field: UserField) -> Any:
    rule = AfterValidator(_lines if field.multiline else printable)
    limits = StringConstraints(
        strip_whitespace=True, min_length=field.min_length, max_length=field.length
    )
    return Annotated[str, limits, rule]


def _lines(text: str) -> str:
    """A text of printable lines, in which tabs are allowed; raises ValueError."""
    for line in text.replace("\r\n", "\n").split("\n"):
        printable(line.replace("\t", " "))
    return text


def _email(_: UserField) -> Any:
    limits = StringConstraints(strip_whitespace=True, max_length=MULTIFIELD_MAX)
    rule = Field(json_schema_extra={"format": "email"}, examples=["ivan@example.com"])
    return Annotated[str, limits, AfterValidator(_possible_email), rule]


def _possible_email(text: str) -> str:
    if not _EMAIL.fullmatch(printable(text)):
        raise ValueError("must be an e-mail address like ivan@example.com")
    return text


def _phone(_: UserField) -> Any:
    return Phone


def _number(field: UserField) -> Any:
    low = -NUMBER_MAX if field.min is None else field.min
    high = NUMBER_MAX if field.max is None else field.max
    limits = Field(ge=low, le=high)
    return Annotated[int, limits] if field.integer else Annotated[int | float, limits, _FINITE]


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("must be a number")
    return number


_FINITE = AfterValidator(_finite)


def _bool(_: UserField) -> Any:
    return bool


def _date(field: UserField) -> Any:
    def check(text: str) -> str:
        try:
            day = date.fromisoformat(text) if re.fullmatch(r"[0-9-]{10}", text) else None
        except ValueError:
            day = None
        if day is None:
            raise ValueError("must be a date like 2026-01-31")
        low, high = field.min or date.min, field.max or date.max
        if not low <= day <= high:  # type: ignore[operator]
            raise ValueError(f"must be a date from {low} to {high}")
        return text

    return Annotated[str, AfterValidator(check), Field(json_schema_extra={"format": "date"})]


def _one_of(field: UserField) -> Any:
    return Literal[tuple(field.values or ())]


_TYPES = {
    "text": _text,
    "email": _email,
    "phone": _phone,
    "number": _number,
    "bool": _bool,
    "date": _date,
    "one-of": _one_of,
}


def schemas(mapping: FieldMap) -> dict[str, Any]:
    """The JSON Schema of each field, which may be null."""
    return {
        name: TypeAdapter(annotation(field) | None).json_schema()
        for name, field in mapping.fields.items()
    }


def from_cell(field: UserField, cell: str) -> Value:
    """The value of a cell of a CSV file; an invalid cell stays a text, for validation to reject."""
    text = cell.strip()
    if field.type == "bool":
        lower = text.lower()
        if lower in _YES or lower in _NO:
            return lower in _YES
        return text
    if field.type == "number":
        try:
            return int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text)
        except ValueError:
            return text
    return cell


_YES = frozenset({"true", "yes", "y", "1", "да"})
_NO = frozenset({"false", "no", "n", "0", "нет"})
