"""An item of an upsert, and its outcome."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from leadline.ledger.event import Event
from leadline.mapping.targets import Value
from leadline.users.model import User

#: taken: the item must be new, and its external id has a user. stale, missing: the precondition
#: failed, since the user has another version, or does not exist.
Kind = Literal["created", "changed", "unchanged", "taken", "stale", "missing"]
#: Kinds of accepted writes.
ACCEPTED = ("created", "changed", "unchanged")


@dataclass(frozen=True, slots=True)
class Item:
    """A user to create, or to change if there is one with this external id."""

    full_name: str
    phone: str
    #: None: a new user gets the first stage, an existing user keeps its own.
    stage: str | None = None
    #: None: always a new user.
    external_id: str | None = None
    #: The given values of further fields; None if none are given.
    fields: Mapping[str, Value] | None = None
    #: The precondition; None: any version is accepted.
    expected_version: int | None = None
    #: The user must exist already, or must not.
    must_exist: bool = False
    must_be_new: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an item."""

    kind: Kind
    #: The user after the write; None if the item was rejected.
    user: User | None = None
    #: The user's version after the write; 0 if the item was rejected.
    version: int = 0
    #: The event that this request entered; None if nothing changed, or if an earlier request with
    #: the same idempotency key entered it.
    event: Event | None = None
