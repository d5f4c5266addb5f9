"""Where a field can live in a lead: its columns, its user fields (`UF_CRM_…`), its multi-fields.

Sources: https://apidocs.bitrix24.com/api-reference/crm/leads/crm-lead-fields.html, and
…/crm/universal/crm-item-add.html for the names in crm.item.*.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

#: What a column holds: `reference` is an id of another record or of an entry of a list.
Kind = Literal["text", "number", "bool", "date", "reference"]

#: A user's value of a further field; None: cleared.
Value = str | int | float | bool | None

#: User fields can have any kind; the map says which.
USER_FIELD = re.compile(r"UF_[A-Z0-9_]{1,60}")
#: Multi-fields hold any number of values, each with a value type.
MULTIFIELDS = ("EMAIL", "PHONE", "WEB", "IM")
VALUE_TYPE = re.compile(r"[A-Z0-9_]{1,50}")
DEFAULT_VALUE_TYPE = "WORK"
#: The multi-field of the user's own phone.
OWN_PHONE = f"PHONE:{DEFAULT_VALUE_TYPE}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a lead that a client may write."""

    #: The name in crm.lead.*.
    name: str
    #: The name in crm.item.*.
    item_name: str
    kind: Kind = "text"
    #: Bitrix24 may truncate or reject longer texts; None: no known limit.
    max_length: int | None = None


_COLUMNS = (
    Column("NAME", "name", max_length=50),
    Column("SECOND_NAME", "secondName", max_length=50),
    Column("LAST_NAME", "lastName", max_length=50),
    Column("HONORIFIC", "honorific", "reference"),
    Column("BIRTHDATE", "birthdate", "date"),
    Column("COMPANY_TITLE", "companyTitle", max_length=255),
    Column("COMPANY_ID", "companyId", "reference"),
    Column("CONTACT_ID", "contactId", "reference"),
    Column("POST", "post", max_length=255),
    Column("SOURCE_ID", "sourceId", "reference"),
    Column("SOURCE_DESCRIPTION", "sourceDescription"),
    Column("STATUS_DESCRIPTION", "statusDescription"),
    Column("COMMENTS", "comments"),
    Column("ASSIGNED_BY_ID", "assignedById", "reference"),
    Column("OPENED", "opened", "bool"),
    Column("OPPORTUNITY", "opportunity", "number"),
    Column("IS_MANUAL_OPPORTUNITY", "isManualOpportunity", "bool"),
    Column("CURRENCY_ID", "currencyId", "reference"),
    Column("UTM_SOURCE", "utmSource"),
    Column("UTM_MEDIUM", "utmMedium"),
    Column("UTM_CAMPAIGN", "utmCampaign"),
    Column("UTM_CONTENT", "utmContent"),
    Column("UTM_TERM", "utmTerm"),
)
COLUMNS = {column.name: column for column in _COLUMNS}

#: Columns that Leadline writes itself.
_OWN = frozenset({"TITLE", "STATUS_ID", "ORIGINATOR_ID", "ORIGIN_ID"})


def is_multifield(target: str) -> bool:
    """Whether this target is a value of a multi-field, such as `EMAIL:WORK`."""
    return ":" in target


def is_user_field(name: str) -> bool:
    """Whether this column is a user field of the portal."""
    return USER_FIELD.fullmatch(name) is not None


def item_name(name: str) -> str:
    """The name of a column in crm.item.*; user fields keep theirs (`useOriginalUfNames`)."""
    return COLUMNS[name].item_name if name in COLUMNS else name


def name_in(answer: Iterable[str], name: str) -> str | None:
    """The name that an answer of crm.item.* has for this column; None if it lacks the column.

    A portal that does not know `useOriginalUfNames` writes `UF_CRM_1639669411830` in camel case,
    `ufCrm_1639669411830`, and drops underscores by undocumented rules.
    """
    item_key = item_name(name)
    if item_key in answer:
        return item_key
    if not is_user_field(name):
        return None
    bare = name.replace("_", "").lower()
    return next((key for key in answer if key.replace("_", "").lower() == bare), None)


def why_unmappable(name: str) -> str | None:
    """Why nothing can be mapped to this name; None if it is a column, user or multi-field."""
    if name in COLUMNS or name in MULTIFIELDS or is_user_field(name):
        return None
    if name in _OWN:
        return "is written by Leadline itself"
    names = ", ".join((*COLUMNS, *MULTIFIELDS))
    return f"is no field that can be written: one of {names}, or UF_CRM_…"
