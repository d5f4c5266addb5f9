"""Leads and contacts that have a phone or an e-mail: the commands that find them.

`crm.duplicate.findbycomm` compares digits, so a number is sent in each notation that people use;
e-mails it compares without regard to case. It answers with ids only, not with the value that each
one has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from leadline.bitrix24.command import Command
from leadline.bitrix24.lead_fields.contact_details import ContactDetails, reads_emails
from leadline.errors import OutcomeUnknown
from leadline.users import phones

FIND = "crm.duplicate.findbycomm"
LIST_CONTACTS = "crm.contact.list"
#: Values in a command.
VALUES_MAX = 20
#: Users that share a command: few enough that its answer is rarely full.
_USERS_MAX = 10
#: From this many ids on, an answer may leave out others
#: (https://apidocs.bitrix24.com/api-reference/crm/duplicates/crm-duplicate-find-by-comm.html).
FOUND_MAX = 20

Entity = Literal["LEAD", "CONTACT"]
Kind = Literal["PHONE", "EMAIL"]
KINDS: tuple[Kind, ...] = ("PHONE", "EMAIL")


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to `find`."""

    ids: tuple[int, ...]
    #: No id can be missing.
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Search:
    """What a search for a user's phone and e-mails has found so far; kept in the user's entry."""

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


def find(kind: Kind, values: Sequence[str], entity: Entity) -> Command:
    """Find the leads or contacts that have one of these, `VALUES_MAX` at most."""
    return Command(FIND, {"type": kind, "entity_type": entity, "values": list(values)})


def values_of(details: ContactDetails, kind: Kind) -> tuple[str, ...]:
    """What to search for, to find a user's phone in all notations, or all its e-mails."""
    found = phones.notations(details.phone) if kind == "PHONE" else details.emails
    return found[:VALUES_MAX]


def shared(values: Sequence[tuple[str, ...]]) -> list[range]:
    """Which users, each with these values, share a command: the positions of each group."""
    groups: list[range] = []
    size = 0
    for at, mine in enumerate(values):
        fits = groups and len(groups[-1]) < _USERS_MAX and size + len(mine) <= VALUES_MAX
        if fits:
            groups[-1] = range(groups[-1].start, at + 1)
            size += len(mine)
        else:
            groups.append(range(at, at + 1))
            size = len(mine)
    return groups


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


def joined(found: Sequence[Found]) -> Found | None:
    """The answers to several searches as one; None if there are none."""
    if not found:
        return None
    ids = sorted({entity_id for answer in found for entity_id in answer.ids})
    return Found(tuple(ids), all(answer.is_complete for answer in found))


def list_contacts_after(after: str) -> Command:
    """List the next page of all contacts, by id; `after` may refer to a result."""
    return _list_contacts({">ID": after})


def list_contacts_by_ids(contact_ids: Iterable[int]) -> Command:
    """List the contacts with these ids."""
    return _list_contacts({"@ID": list(contact_ids)})


def _list_contacts(where: dict[str, Any]) -> Command:
    # As `leads.list_by_ids`: their rows are parsed alike.
    columns = ["ID", "NAME", "PHONE", *(("EMAIL",) if reads_emails() else ())]
    return Command(
        LIST_CONTACTS,
        {"filter": where, "select": columns, "order": {"ID": "ASC"}, "start": -1},
    )
