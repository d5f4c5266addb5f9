"""Values that say nothing about a person, for fields that a portal does not let be emptied.

None of them reaches anyone: `.invalid` has no hosts (RFC 2606), and no calling code begins with 0.
Phones and e-mails contain the lead's id, so that no two leads share one.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from leadline.messages.contract import ERASED_NAME

if TYPE_CHECKING:
    from leadline.mapping.user_field import FieldType

#: Values of multi-fields, in addition to phones and e-mails.
_ROWS = {"WEB": "https://erased.invalid", "IM": ERASED_NAME}


def phone(lead_id: int) -> str:
    """A phone for this lead."""
    return f"+000{lead_id}"


def email(lead_id: int) -> str:
    """An e-mail for this lead."""
    return f"erased-{lead_id}@erased.invalid"


def column(field_type: "FieldType", lead_id: int) -> str:
    """A value of this type; "" if values of the type are no personal data."""
    match field_type:
        case "text":
            return ERASED_NAME
        case "date":
            return "1900-01-01"
        case "phone":
            return phone(lead_id)
        case "email":
            return email(lead_id)
        case _:
            return ""


def row(kind: str, lead_id: int) -> str:
    """A value of this multi-field."""
    return {"PHONE": phone(lead_id), "EMAIL": email(lead_id), **_ROWS}.get(kind, ERASED_NAME)


def rows(lead_id: int, found: Iterable[tuple[str, int]]) -> dict[str, dict[str, str]]:
    """What to write to `fm`, by row id: of each multi-field one neutral row stays.

    `found`: the kinds and ids of all rows; a row may occur twice. An empty value deletes its row.
    """
    kept: set[str] = set()
    written = {}
    for kind, row_id in dict.fromkeys(found):
        value = "" if kind in kept else row(kind, lead_id)
        written[str(row_id)] = {"typeId": kind, "valueType": "WORK", "value": value}
        kept.add(kind)
    return written
