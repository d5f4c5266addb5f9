"""Converts a client's values to stored texts."""

import math
from collections.abc import Mapping
from typing import Any

from emulator.leads.fields import FIELDS, Field
from emulator.settings import Settings


class Overlong(ValueError):
    """A text is too long for its field, and the portal is set to reject it."""

    def __init__(self, field: Field) -> None:
        super().__init__(f'The field "{field.title}" is too long (at most {field.max_length})')
        self.field = field


def writable(sent: Mapping[str, Any], settings: Settings) -> dict[str, str | None]:
    """The known, writable single-valued fields of `sent` in their stored form."""
    stored: dict[str, str | None] = {}
    for name, value in sent.items():
        field = FIELDS.get(name)
        if field is not None and not field.read_only and not isinstance(value, dict | list):
            stored[name] = _fitted(field, _text(field, value), settings)
    return stored


def _text(field: Field, value: Any) -> str | None:
    if value is None:
        return None
    if field.kind == "double":
        return _amount(value)
    if isinstance(value, bool):
        return "Y" if value else "N"
    return str(value)


def _amount(value: Any) -> str:
    try:
        amount = float(value)
    except (TypeError, ValueError, OverflowError):
        return "0.00"
    return f"{amount:.2f}" if math.isfinite(amount) else "0.00"


def _fitted(field: Field, text: str | None, settings: Settings) -> str | None:
    if text is None or field.max_length is None or len(text) <= field.max_length:
        return text
    if settings.overlong == "error":
        raise Overlong(field)
    return text[: field.max_length]
