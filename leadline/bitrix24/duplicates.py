"""Leads and contacts that have a phone: the commands that find them.

`crm.duplicate.findbycomm` compares digits, so a number is sent in each notation that people use. It
answers with ids only, not with the value that each one has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from leadline.bitrix24.command import Command
from leadline.errors import OutcomeUnknown

FIND = "crm.duplicate.findbycomm"
LIST_CONTACTS = "crm.contact.list"
#: Values in a command.
VALUES_MAX = 20
#: From this many ids on, an answer may leave out others
#: (https://apidocs.bitrix24.com/api-reference/crm/duplicates/crm-duplicate-find-by-comm.html).
FOUND_MAX = 20

Entity = Literal["LEAD", "CONTACT"]


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to `find`."""

    ids: tuple[int, ...]
    #: No id can be missing.
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Search:
    """What a search for a user's phone has found so far; kept in the user's entry."""

    #: When the portal was asked, in unix ms by Redis' clock.
    at_ms: int
    lead_ids: tuple[int, ...] = ()
    contact_ids: tuple[int, ...] = ()
    #: The leads and contacts were read: what is to be linked or attached is known.
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
        return cls(
            **content
            | {name: tuple(content[name]) for name in ("lead_ids", "contact_ids", "taken")}
        )


def find(phones: Sequence[str], entity: Entity) -> Command:
    """Find the leads or contacts that have one of these phones, `VALUES_MAX` at most."""
    return Command(FIND, {"type": "PHONE", "entity_type": entity, "values": list(phones)})


def parse_found(answer: Any, entity: Entity) -> Found:
    """Parse the ids that were found.

    Raises:
        OutcomeUnknown: the answer is no result of `find`.
    """
    found = answer.get(entity, []) if isinstance(answer, dict) else answer
    if not isinstance(found, list) or (answer == found and found):
        raise OutcomeUnknown("the answer lists no duplicates")
    try:
        ids = sorted({int(entity_id) for entity_id in found})
    except (TypeError, ValueError):
        raise OutcomeUnknown("an id of a duplicate is unreadable") from None
    return Found(tuple(ids), len(found) < FOUND_MAX)


def list_contacts_after(after: str) -> Command:
    """List the next page of all contacts, by id; `after` may refer to a result."""
    return _list_contacts({">ID": after})


def list_contacts_by_ids(contact_ids: Iterable[int]) -> Command:
    """List the contacts with these ids."""
    return _list_contacts({"@ID": list(contact_ids)})


def _list_contacts(where: dict[str, Any]) -> Command:
    # As `leads.list_by_ids`: their rows are parsed alike.
    columns = ["ID", "NAME", "PHONE"]
    return Command(
        LIST_CONTACTS,
        {"filter": where, "select": columns, "order": {"ID": "ASC"}, "start": -1},
    )
