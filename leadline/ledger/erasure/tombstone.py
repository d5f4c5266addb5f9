"""The write that erases a user, in Postgres: a tombstone, its event and its receipt.

An erasure is a write like any other: a new version, hence newer than every state still in flight,
and an event that is published, applied to the lead and settled.
"""

from datetime import UTC, datetime

from uuid_utils.compat import uuid7

from leadline.errors import UserNotFound, VersionMismatch
from leadline.ledger.event import Event
from leadline.messages.attributes import ERASE
from leadline.runtime.postgres.installation import run_in_current_history
from leadline.runtime.postgres.pool import Row
from leadline.runtime.telemetry import trace_context
from leadline.users.model import LeadId, User, UserId

_ERASE = """
SELECT * FROM leadline_erase(:user_id, :expected, CAST(:event_id AS uuid), :caller,
                             :correlation_id, :traceparent, CAST(:grace_s AS float8))
"""


def write(
    user_id: UserId, expected_version: int | None = None, *, grace_s: float = 0
) -> Event | None:
    """Make a user a tombstone; returns its event, None if it was erased before.

    The relay publishes the event after `grace_s` seconds unless it has been published by then.

    Raises:
        UserNotFound: no user ever had this id.
        VersionMismatch: its version is not the expected one.
        DatabaseDown: nothing was erased, or the outcome is unknown; safe to repeat.
    """
    trace = trace_context.current()
    event_id = str(uuid7())
    (row,) = run_in_current_history(
        _ERASE,
        user_id=user_id,
        expected=expected_version,
        event_id=event_id,
        caller=trace_context.caller() or None,
        correlation_id=trace.correlation_id,
        traceparent=trace.traceparent,
        grace_s=grace_s,
    )
    if row["outcome"] == "unknown":
        raise UserNotFound
    if row["outcome"] == "changed":
        raise VersionMismatch
    return _event(event_id, user_id, row) if row["outcome"] == "erased" else None


def _event(event_id: str, user_id: UserId, row: Row) -> Event:
    trace = trace_context.current()
    return Event(
        id=event_id,
        action="update_card",
        user=User(user_id, full_name="", phone="", stage=""),
        version=row["at_version"],
        bitrix_lead_id=None if row["lead_id"] is None else LeadId(row["lead_id"]),
        changed=(ERASE,),
        stage_version=None,
        occurred_at=datetime.now(UTC),
        correlation_id=trace.correlation_id,
        traceparent=trace.traceparent,
        history=row["history"],
        originator_id=row["originator_id"],
    )
