"""An item of an upsert, and its outcome."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from leadline.ledger.event import Event
from leadline.mapping.targets import Value
from leadline.users.model import User

#: taken: must be new, and the external id has a user. stale, missing: the precondition failed.
Kind = Literal["created", "changed", "unchanged", "taken", "stale", "missing"]
#: Kinds of accepted writes.
ACCEPTED = ("created", "changed", "unchanged")


@dataclass(frozen=True, slots=True)
class Item:
    """A user to create, or to change if there is one with this external id."""

    full_name: str
    phone: str
    #: None: the first stage for a new user, no change of an existing one.
    stage: str | None = None
    #: None: always a new user.
    external_id: str | None = None
    #: The given values of further fields; None: none.
    fields: Mapping[str, Value] | None = None
    #: The precondition: None if any version is accepted.
    expected_version: int | None = None
    must_exist: bool = False
    must_be_new: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an item."""

    kind: Kind
    #: The user afterwards; None unless it was accepted.
    user: User | None = None
    version: int = 0
    #: None unless this request wrote it: not if an earlier one with the same idempotency key did.
    event: Event | None = None
