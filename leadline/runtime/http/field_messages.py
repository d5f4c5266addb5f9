"""Messages for invalid fields, for readers who do not know pydantic."""

from collections.abc import Mapping
from typing import Any

#: By pydantic's type of error (https://docs.pydantic.dev/latest/errors/validation_errors/).
_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "bool_type": "must be true or false",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "list_type": "must be a list",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "timezone_aware": "must have a time zone, like 2026-01-31T12:00:00Z",
    **dict.fromkeys(
        ("datetime_type", "datetime_parsing", "datetime_from_date_parsing"),
        "must be a time with its zone, like 2026-01-31T12:00:00Z",
    ),
}
#: pydantic's prefix to the message of a rule of ours, which is meant for clients.
_RULE_PREFIX = "Value error, "


def of(error: Mapping[str, Any]) -> str:
    """The message for an error of pydantic, without the value."""
    template = _MESSAGES.get(error["type"])
    if template is None:
        message: str = error["msg"]
        return message.removeprefix(_RULE_PREFIX)
    context = error.get("ctx", {})
    if error["type"] == "string_too_short" and context["min_length"] == 1:
        return "must not be empty"
    return template.format_map(context)
