"""Finds leads and contacts by phone or e-mail: the commands, and their answers.

`crm.duplicate.findbycomm` compares digits, so a number is sent in each usual notation. It compares
e-mails regardless of case. Its answer has ids only, not the values that matched.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from leadline.bitrix24.command import Command
from leadline.bitrix24.lead_fields.contact_details import ContactDetails, map_has_emails
from leadline.errors import OutcomeUnknown
from leadline.users import phones

FIND = "crm.duplicate.findbycomm"
LIST_CONTACTS = "crm.contact.list"
#: Maximum number of values in a command.
VALUES_MAX = 20
#: Maximum number of users that share a command: few, so that its answer is rarely full.
_USERS_MAX = 10
#: An answer with this many ids may lack others
#: (https://apidocs.bitrix24.com/api-reference/crm/duplicates/crm-duplicate-find-by-comm.html).
FOUND_MAX = 20

Entity = Literal["LEAD", "CONTACT"]
Kind = Literal["PHONE", "EMAIL"]
KINDS: tuple[Kind, ...] = ("PHONE", "EMAIL")


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to `find`."""

    ids: tuple[int, ...]
    #: Whether these are all: a full answer may lack others.
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Search:
    """The progress of a search for a user's phone and e-mails; stored in the user's entry."""

    #: When the search was made, in unix ms by Redis' clock.
    at_ms: int
    lead_ids: tuple[int, ...] = ()
    contact_ids: tuple[int, ...] = ()
    #: The leads and contacts were read, and the one to link or attach was chosen.
    is_read: bool = False
    #: The lead that the user was linked to.
    linked: int | None = None
    #: The contact that the new lead is attached to.
    contact_id: int | None = None
    #: Leads that another user was linked to at the same time.
    taken: tuple[int, ...] = ()

    def dumps(self) -> bytes:
        """As an entry stores it."""
        return orjson.dumps(self)

    @classmethod
    def loads(cls, stored: bytes) -> "Search":
        """Parse what `dumps` returned."""
        content = orjson.loads(stored)
        for name in ("lead_ids", "contact_ids", "taken"):
            content[name] = tuple(content[name])
        return cls(**content)


def find(kind: Kind, values: Sequence[str], entity: Entity) -> Command:
    """Find the leads or contacts that have one of these values, `VALUES_MAX` at most."""
    return Command(FIND, {"type": kind, "entity_type": entity, "values": list(values)})


def values_of(details: ContactDetails, kind: Kind) -> tuple[str, ...]:
    """The values to search for: a user's phone in all notations, or all its e-mails."""
    values = phones.notations(details.phone) if kind == "PHONE" else details.emails
    return values[:VALUES_MAX]


def group_by_command(values: Sequence[tuple[str, ...]]) -> list[range]:
    """Group consecutive users so that the users of a group share a command.

    `values` has each user's values to search for. Returns the positions of each group's users.
    """
    groups: list[range] = []
    size = 0
    for position, user_values in enumerate(values):
        fits = groups and len(groups[-1]) < _USERS_MAX and size + len(user_values) <= VALUES_MAX
        if fits:
            groups[-1] = range(groups[-1].start, position + 1)
            size += len(user_values)
        else:
            groups.append(range(position, position + 1))
            size = len(user_values)
    return groups


def parse_found(answer: Any, entity: Entity) -> Found:
    """Parse the answer to `find`.

    Raises:
        OutcomeUnknown: the answer is no result of `find`.
    """
    if answer == []:  # Bitrix24 sends an empty map as a list
        answer = {}
    ids_found = answer.get(entity, []) if isinstance(answer, dict) else None
    if not isinstance(ids_found, list):
        raise OutcomeUnknown("the answer lists no duplicates")
    try:
        ids = sorted({int(entity_id) for entity_id in ids_found})
    except (TypeError, ValueError):
        raise OutcomeUnknown("an id of a duplicate is unreadable") from None
    return Found(tuple(ids), len(ids_found) < FOUND_MAX)


def merge(answers: Sequence[Found]) -> Found | None:
    """The answers to several searches as one; None if there are none."""
    if not answers:
        return None
    ids = sorted({entity_id for answer in answers for entity_id in answer.ids})
    return Found(tuple(ids), all(answer.is_complete for answer in answers))


def list_contacts_after(after: str) -> Command:
    """List the contacts with ids greater than `after`, a page of them.

    `after` may refer to an earlier command of the batch: `$result[…]`.
    """
    return _list_contacts({">ID": after})


def list_contacts_by_ids(contact_ids: Iterable[int]) -> Command:
    """List the contacts with these ids."""
    return _list_contacts({"@ID": list(contact_ids)})


def _list_contacts(conditions: dict[str, Any]) -> Command:
    # The same columns as in `leads.list_by_ids`: the rows have one parser.
    columns = ["ID", "NAME", "PHONE", *(("EMAIL",) if map_has_emails() else ())]
    return Command(
        LIST_CONTACTS,
        {"filter": conditions, "select": columns, "order": {"ID": "ASC"}, "start": -1},
    )
