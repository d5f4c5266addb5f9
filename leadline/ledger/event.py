"""The event: a write as the ledger holds it."""

from dataclasses import dataclass
from datetime import datetime

from leadline.runtime.postgres.pool import Row
from leadline.users.model import LeadId, User, UserId


@dataclass(frozen=True, slots=True)
class Event:
    """A write as the ledger holds it: the user's whole state right after it."""

    id: str
    action: str
    user: User
    version: int
    bitrix_lead_id: LeadId | None
    #: The fields that the client gave.
    changed: tuple[str, ...]
    #: The version that set the stage; None where the CRM is known to have had it.
    stage_version: int | None
    occurred_at: datetime
    correlation_id: str
    traceparent: str
    #: The history of Postgres in which it is sent, and what its lead bears as its origin; None in
    #: an event that no ledger holds.
    history: int | None = None
    originator_id: str | None = None
    #: The version that set the stage, whatever the CRM has.
    stage_set: int | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A write's event, and whether this very request made it (else an earlier one with its key)."""

    event: Event
    is_new: bool


@dataclass(frozen=True, slots=True)
class Repeat:
    """An idempotency key: who sent it, and a hash of what was asked for under it."""

    caller: str
    key: str
    fingerprint: bytes


def event_of(row: Row) -> Event:
    """A ledger row by `found`, joined with the user's lead id, as an Event."""
    return Event(
        id=row["event_id"],
        action=row["action"],
        user=User(UserId(row["id"]), row["full_name"], row["phone"], row["stage"]),
        version=row["version"],
        bitrix_lead_id=row["bitrix_lead_id"],
        changed=tuple(row["changed"].split(",")),
        stage_version=row["stage_version"],
        occurred_at=datetime.fromisoformat(row["occurred_at"]),
        correlation_id=row["correlation_id"],
        traceparent=row["traceparent"],
        history=row["history"],
        originator_id=row["originator_id"],
        stage_set=row.get("stage_set"),
    )
