"""The event: a write as recorded in the ledger."""

from dataclasses import dataclass
from datetime import datetime

from leadline.runtime.postgres.pool import Row
from leadline.users.model import LeadId, User, UserId


@dataclass(frozen=True, slots=True)
class Event:
    """A write with the user's whole state right after it."""

    id: str
    action: str
    user: User
    version: int
    bitrix_lead_id: LeadId | None
    #: The fields given by the client.
    changed: tuple[str, ...]
    #: The version that last set the stage; None if that stage was already applied to the CRM.
    stage_version: int | None
    occurred_at: datetime
    correlation_id: str
    traceparent: str
    #: The history of Postgres and the ORIGINATOR_ID of leads at the time of sending; None for an
    #: event that was not read from the ledger.
    history: int | None = None
    originator_id: str | None = None
    #: The version that last set the stage, whether applied or not.
    stage_set: int | None = None
    #: The latest time at which this was the user's newest open event, in unix ms; None: the time of
    #: the write.
    newest_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AcceptedWrite:
    """An accepted write."""

    event: Event
    #: False if an earlier request with the same idempotency key entered the event.
    is_new: bool


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """An idempotency key: its caller, and a hash of the request made under it."""

    caller: str
    key: str
    fingerprint: bytes


def event_from_row(row: Row) -> Event:
    """An Event from a row of `query_json`, joined with the user's lead id."""
    return Event(
        id=row["event_id"],
        action=row["action"],
        user=User(
            UserId(row["id"]),
            row["full_name"],
            row["phone"],
            row["stage"],
            row.get("external_id"),
            row["fields"],
        ),
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
        newest_at_ms=row.get("newest_at_ms"),
    )
