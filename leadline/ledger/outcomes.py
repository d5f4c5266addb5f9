"""Into the ledger: what became of an event, applied once, in any order, late or repeated."""

from typing import Literal, get_args
from uuid import UUID

import structlog

from leadline.ledger import again
from leadline.ledger.again import Again
from leadline.messages.contract import Reply
from leadline.messages.delivery import LOOK, number
from leadline.messages.journey import Journey
from leadline.runtime import metrics
from leadline.runtime.database import Row, database
from leadline.runtime.errors import BadMessage
from leadline.runtime.settings import settings

log = structlog.get_logger()

Outcome = Literal["synced", "superseded", "failed"]

SETTLED = metrics.Counter(
    "leadline_events_settled_total",
    "Events closed in the ledger, by how they ended",
    "state",
    known=get_args(Outcome),
)
TIME_TO_LEAD = metrics.Histogram(
    "leadline_time_to_lead_seconds",
    "From the acceptance of a write to its success in the ledger",
    "action",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400),
)

UNKNOWN_EVENT = "the reply answers no event of this user that the ledger knows"

# Bitrix24's side may forget which version it has written: a message that comes late then takes the
# lead back to an older state. The fencing tokens tell, as they grow with each lease: the older of
# two versions was written last. What was looked at before it was written is right by itself.
_OVERWRITES = f"""
:state = 'synced' AND COALESCE(CASE
    WHEN settled.version < settled.before THEN CAST(:fence AS bigint) > settled.applied_fence
    ELSE CAST(:fence AS bigint) < settled.applied_fence AND settled.changed <> '{LOOK}'
END, false)"""

# A failure may still turn into a success (a late answer, a later try), never the other way round;
# an older reply never touches what a newer version has set. The user is locked first: replies of
# one user come several at once, and would deadlock over its events.
# Due stays only what failed for a passing reason: its next try is when an answer was due anyway,
# at a distance that has grown with each sending. So a repeated reply changes nothing here either.
_SETTLE = f"""
WITH owner AS (
    SELECT id, synced_version, applied_fence FROM users WHERE id = :user_id FOR NO KEY UPDATE
), settled AS (
    UPDATE events SET
        state = :state, reason = :reason, attempts = :attempts,
        settled_at = CASE WHEN state = :state THEN settled_at ELSE now() END,
        journey = COALESCE(CAST(:journey AS jsonb), journey),
        due_at = CASE WHEN :is_passing
            AND now() < COALESCE(settled_at, now()) + make_interval(secs => :retry_for_s)
            THEN due_at END
    FROM owner
    WHERE events.id = CAST(:event_id AS uuid) AND user_id = owner.id
      AND state IN ('open', 'failed')
    RETURNING user_id, version, changed, owner.synced_version AS before, applied_fence,
        settled_at = now() AS is_change,
        CAST(extract(epoch FROM now() - occurred_at) AS float) AS age_s
), older AS (
    UPDATE events SET state = 'superseded', settled_at = now(), due_at = NULL
    FROM settled
    WHERE :state = 'synced' AND events.user_id = settled.user_id
      AND events.version < settled.version AND events.state = 'open'
    RETURNING 1
)
UPDATE users SET
    bitrix_lead_id = CASE WHEN settled.version >= users.synced_version
        THEN COALESCE(CAST(:lead_id AS bigint), users.bitrix_lead_id)
        ELSE users.bitrix_lead_id END,
    applied_fence = CASE WHEN :state = 'synced' AND settled.version >= settled.before
        THEN GREATEST(users.applied_fence, CAST(:fence AS bigint)) ELSE users.applied_fence END,
    synced_version = CASE WHEN :state = 'failed' THEN users.synced_version
        ELSE GREATEST(users.synced_version, settled.version) END,
    sync_status = CASE WHEN settled.version < users.version THEN users.sync_status
        WHEN :state = 'failed' THEN 'failed' ELSE 'synced' END,
    sync_reason = CASE WHEN settled.version < users.version THEN users.sync_reason
        ELSE CAST(:reason AS text) END,
    sync_attempts = CASE WHEN settled.version < users.version THEN users.sync_attempts
        ELSE :attempts END
FROM settled WHERE users.id = settled.user_id
RETURNING users.version, {_OVERWRITES} AS overwrites,
    settled.is_change, settled.age_s, (SELECT count(*) FROM older) AS older
"""

_OLDEST_OPEN = """
SELECT id FROM events WHERE user_id = :user_id AND action = :action AND state = 'open'
ORDER BY version LIMIT 1
"""

_REPEATED = f"""
SELECT users.version, {_OVERWRITES} AS overwrites
FROM users, LATERAL (
    SELECT version, changed, synced_version AS before, applied_fence
    FROM events WHERE id = CAST(:event_id AS uuid) AND user_id = users.id
) AS settled
WHERE users.id = :user_id
"""


def apply(
    reply: Reply,
    outcome: str | None,
    *,
    fence: str | None = None,
    is_passing: bool = False,
    journey: Journey | None = None,
) -> None:
    """Settle the event that this reply answers; a reply that comes again changes nothing.

    `outcome` is what the sender says beyond the public reply ("superseded"), None from others.
    `fence`: the token of the lease that applied it. Where an older state was written over a newer
    one, the newest is sent once more.
    `is_passing`: the sender says that a later try may succeed; the relay will make it.
    `journey`: how the event fared, kept for whoever asks why.

    Raises:
        BadMessage: there is no such user or event.
        DatabaseDown: nothing was applied.
    """
    event_id = _ledger_id(reply.event_id) if reply.event_id else _event_without_id(reply)
    state = _state(reply, outcome)
    reason = (reply.reason or "no reason given") if state == "failed" else None
    about = {"event_id": event_id, "user_id": reply.user_id, "state": state, "fence": number(fence)}
    rows = database().run(
        _SETTLE,
        **about,
        reason=reason,
        attempts=reply.attempts,
        lead_id=reply.bitrix_lead_id if state != "failed" else None,
        is_passing=is_passing and state == "failed",
        retry_for_s=settings().retry_for_s,
        journey=journey.ended(reason).dumps() if journey else None,
    )
    is_repeated = not rows
    if is_repeated and not (rows := database().run(_REPEATED, **about)):
        raise BadMessage(UNKNOWN_EVENT)
    if not is_repeated:
        _count(rows[0], state, reply.action)
    if rows[0]["overwrites"]:
        again.ask([Again(reply.user_id, rows[0]["version"], with_stage=True, is_certain=True)])
        log.warning("an older state was written over a newer one", user_id=reply.user_id)
    log.info(
        "reply repeated" if is_repeated else "reply received",
        event_id=event_id,
        user_id=reply.user_id,
        status=reply.status,
        state=state,
        attempts=reply.attempts,
        bitrix_lead_id=reply.bitrix_lead_id,
    )


def _count(settled: Row, state: Outcome, action: str) -> None:
    if settled["older"]:
        SETTLED.inc("superseded", by=settled["older"])
    if settled["is_change"]:  # not a failure that is told once more
        SETTLED.inc(state)
    if state == "synced":
        TIME_TO_LEAD.observe(settled["age_s"], action)


def _state(reply: Reply, outcome: str | None) -> Outcome:
    if reply.status == "error":
        return "failed"
    return "superseded" if outcome == "superseded" else "synced"


def _ledger_id(text: str) -> str:
    """The id as the ledger writes it; ids of other senders' making are none of ours."""
    try:
        return str(UUID(text))
    except ValueError:
        raise BadMessage(UNKNOWN_EVENT) from None


def _event_without_id(reply: Reply) -> str:
    """A sender that knows only the public keys answers in order: its oldest open event."""
    rows = database().run(_OLDEST_OPEN, user_id=reply.user_id, action=reply.action)
    if not rows:
        raise BadMessage("the reply names no event, and no event of this user waits for one")
    return str(rows[0]["id"])
