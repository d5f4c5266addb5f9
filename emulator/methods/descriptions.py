"""Descriptions of fields, as the `fields` methods return them, built from short tables."""

from collections.abc import Mapping
from typing import Any

from emulator.entities.fields.field import upper_name

#: A field's type, flags (r required, o read-only, i immutable, m multiple) and title.
Column = tuple[str, str, str]


def describe(columns: Mapping[str, Column], *, upper_names: bool = False) -> dict[str, Any]:
    """The description of each field; with `upper_names` it also has the `upperName`."""
    return {
        name: {
            "type": kind,
            "isRequired": "r" in flags,
            "isReadOnly": "o" in flags,
            "isImmutable": "i" in flags,
            "isMultiple": "m" in flags,
            "isDynamic": False,
            "title": title,
            **({"upperName": upper_name(name)} if upper_names else {}),
        }
        for name, (kind, flags, title) in columns.items()
    }
