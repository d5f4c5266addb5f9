"""The further fields of users, as the field map describes them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from leadline.mapping.current import field_map
from leadline.mapping.targets import Value
from leadline.users.model import WithFurtherFields

Base = TypeVar("Base", bound=WithFurtherFields)


def with_fields(model: type[Base]) -> type[Base]:
    """The model with the fields of the map; itself if there is no map.

    Raises:
        BadConfiguration: no valid map has been read yet.
    """
    mapping = field_map()
    if mapping is None or not mapping.fields:
        return model
    from leadline.users import field_models  # noqa: PLC0415 - cold start: needed with a map only

    return field_models.extend(model, mapping)


def mapped(fields: Mapping[str, Value] | None) -> dict[str, Value]:
    """A user's stored values of fields that the map still has, in its order."""
    mapping = field_map() if fields else None
    if not fields or mapping is None:
        return {}
    return {name: fields[name] for name in mapping.fields if name in fields}


def in_response(fields: Mapping[str, Value] | None) -> dict[str, Value]:
    """All fields of the map with this user's values, as responses show them; None: no value."""
    mapping = field_map()
    if mapping is None:
        return {}
    return {name: (fields or {}).get(name) for name in mapping.fields}


def defaults() -> dict[str, Value]:
    """The values that new users get if they are given none."""
    mapping = field_map()
    if mapping is None:
        return {}
    values = {name: field.default_value for name, field in mapping.fields.items()}
    return {name: value for name, value in values.items() if value is not None}


def further_schemas() -> dict[str, Any]:
    """The JSON Schemas of the fields in responses, by name; null: the user has no value."""
    mapping = field_map()
    if mapping is None:
        return {}
    from leadline.users import field_models  # noqa: PLC0415 - as in `with_fields`

    return field_models.schemas(mapping)
