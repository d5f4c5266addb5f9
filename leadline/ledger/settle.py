"""Settle events: record their replies in the ledger, in any order, late or repeated."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args
from uuid import UUID

import orjson
import structlog

from leadline.errors import BadMessage
from leadline.ledger import held_users, settle_sql
from leadline.ledger.erasure import receipts
from leadline.ledger.resync import resync_events
from leadline.ledger.resync.replies_to_lost_events import recover
from leadline.ledger.resync.resync_events import ResyncRequest
from leadline.messages import attempt_log
from leadline.messages.attempt_log import AttemptLog
from leadline.messages.attributes import number
from leadline.messages.contract import Reply
from leadline.runtime.postgres.pool import UNIQUE_VIOLATION, Row, StatementError, database
from leadline.runtime.telemetry import metrics, trace_context
from leadline.runtime.telemetry.trace_context import Trace
from leadline.settings import settings

log = structlog.get_logger()

FinalState = Literal["synced", "superseded", "failed"]

SETTLED = metrics.Counter(
    "leadline_events_settled_total",
    "Events settled in the ledger, by final state",
    "state",
    label_values=get_args(FinalState),
)
TIME_TO_LEAD = metrics.Histogram(
    "leadline_time_to_lead_seconds",
    "Time from accepting a write to recording its success in the ledger",
    "action",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400),
)

UNKNOWN_EVENT = "the reply answers no event of this user in the ledger"
LOST_EVENT = (
    "the reply answers an event that Postgres has lost in a failover or restore; if the user still"
    " exists, its lead is compared with it"
)

#: Names of further fields, separated by commas.
_NAMES = re.compile(r"[a-z0-9_]+(?:,[a-z0-9_]+)*")
#: Maximum characters of such a text: more than the names of any map have together.
_NAMES_MAX = 4000
#: A reply as a JSON record of the statements in `settle_sql`.
_ReplyParams = dict[str, object]


@dataclass(frozen=True, slots=True)
class ReceivedReply:
    """A reply with the attributes of its message."""

    reply: Reply
    #: The outcome attribute, such as "superseded"; None: the sender is not one of our workers.
    outcome: str | None = None
    #: The fencing token of the lease that applied the event.
    fence: str | None = None
    #: The history of Postgres that the event belongs to; None: as for the outcome.
    history: str | None = None
    #: The error is transient: the relay will retry the event.
    is_transient: bool = False
    #: The attempts made; stored for operators.
    attempt_log: AttemptLog | None = None
    #: The further fields that the lead could not take, separated by commas.
    open_fields: str | None = None
    #: The lead that was chosen for the user, but belongs to another.
    taken_lead: str | None = None
    trace: Trace = field(default_factory=trace_context.current)

    @property
    def state(self) -> FinalState:
        """The final state of the event."""
        if self.reply.status == "error":
            return "failed"
        return "superseded" if self.outcome == "superseded" else "synced"

    @property
    def holds_user(self) -> bool:
        """Whether the user is held: the event stays open until an operator decides."""
        return self.reply.status == "error" and self.outcome == "held"

    @property
    def reason(self) -> str | None:
        """Why the event failed; None unless it failed."""
        return (self.reply.reason or "no reason given") if self.state == "failed" else None


def apply(replies: Sequence[ReceivedReply]) -> None:
    """Settle the events of these replies; idempotent.

    Replies to different users share a statement, replies to one user are applied in order. If an
    older version was written over a newer one, the newest is resynced.

    Raises:
        BadMessage: unknown user or event; other replies may have been applied.
        DatabaseDown: some or all replies were not applied.
    """
    remaining = list(replies)
    while remaining:
        # The last item of a key stays in a dictionary, so the order is reversed.
        first_by_user = {received.reply.user_id: received for received in reversed(remaining)}
        remaining = [
            received
            for received in remaining
            if first_by_user[received.reply.user_id] is not received
        ]
        _apply_group(first_by_user)


def _apply_group(replies: Mapping[int, ReceivedReply]) -> None:
    """Apply one reply per user; `replies` is by user id."""
    to_hold = [received for received in replies.values() if received.holds_user]
    if to_hold:
        _hold_users(to_hold)
        replies = {
            user_id: received for user_id, received in replies.items() if not received.holds_user
        }
        if not replies:
            return
    params = {user_id: _reply_params(received) for user_id, received in replies.items()}
    settled = _settle(params.values())
    unsettled = [reply for user_id, reply in params.items() if user_id not in settled]
    repeated = _run(settle_sql.REPEATED, unsettled) if unsettled else {}
    for user_id, row in {**settled, **repeated}.items():
        trace_context.resume(replies[user_id].trace)
        _follow_up(replies[user_id], params[user_id], row, is_repeated=user_id in repeated)
    unknown = replies.keys() - settled.keys() - repeated.keys()
    were_lost = [recover(replies[user_id].reply, replies[user_id].history) for user_id in unknown]
    if unknown:
        raise BadMessage(LOST_EVENT if any(were_lost) else UNKNOWN_EVENT)


def _hold_users(replies: Sequence[ReceivedReply]) -> None:
    """Record that these users are held for an operator."""
    users = held_users.record(
        held_users.HeldReply(
            event_id=_reply_params(received)["event_id"],
            user_id=received.reply.user_id,
            reason=received.reply.reason or "",
            lead_ids=received.reply.lead_ids,
            contact_ids=received.reply.contact_ids,
        )
        for received in replies
    )
    log.info("users held for an operator", users=len(users))


def _settle(params: Iterable[_ReplyParams]) -> dict[int, Row]:
    """Settle the events; returns a row for each user whose event was open or failed, by user."""
    try:
        return _run(settle_sql.SETTLE, params, retry_for_s=settings().retry_for_s)
    except StatementError as error:
        if error.code != UNIQUE_VIOLATION:
            raise
        # A concurrent statement has given one of these leads to another user; now it is visible.
        return _run(settle_sql.SETTLE, params, retry_for_s=settings().retry_for_s)


def _run(sql: str, replies: Iterable[_ReplyParams], **params: object) -> dict[int, Row]:
    """The rows that a statement returns for these replies, by user."""
    rows = database().run(sql, replies=orjson.dumps([*replies]).decode(), **params)
    return {row["id"]: row for row in rows}


def _reply_params(received: ReceivedReply) -> _ReplyParams:
    reply, state, reason = received.reply, received.state, received.reason
    is_failed = state == "failed"
    attempts = received.attempt_log
    journey = attempts.with_final_error(reason).to_json() if attempts else None
    return {
        "event_id": _ledger_id(reply.event_id) if reply.event_id else _oldest_open_event(reply),
        "user_id": reply.user_id,
        "state": state,
        "reason": reason,
        "attempts": reply.attempts,
        "lead_id": None if is_failed else reply.bitrix_lead_id,
        "taken_lead_id": number(received.taken_lead) if is_failed else None,
        "fence": number(received.fence),
        "is_transient": received.is_transient and is_failed,
        "journey": orjson.Fragment(journey) if journey else None,
        "open_fields": _valid_names(received.open_fields),
        "calls": attempt_log.calls_to_text(reply.calls) if settings().keep_calls_s else None,
    }


def _valid_names(text: str | None) -> str | None:
    """Names of fields, as a worker sends them; None for anything else."""
    return text if text and len(text) <= _NAMES_MAX and _NAMES.fullmatch(text) else None


def _follow_up(
    received: ReceivedReply, params: _ReplyParams, row: Row, *, is_repeated: bool
) -> None:
    """Log and count a settled event, resync its user after an overwrite, record an erased lead."""
    reply = received.reply
    state = received.state if is_repeated else row["state"]
    if not is_repeated:
        _count_settled(row, state, reply.action)
    if state != received.state:  # the statement has made a success a failure
        log.error("lead belongs to another user", user_id=reply.user_id)
    if row["overwrites"]:
        with_stage = row["overwrites_stage"]
        resync_events.request(
            [ResyncRequest(reply.user_id, row["version"], with_stage=with_stage, force=True)]
        )
        log.warning("older version overwrote a newer one, resyncing", user_id=reply.user_id)
    log.info(
        "reply repeated" if is_repeated else "reply received",
        event_id=params["event_id"],
        user_id=reply.user_id,
        status=reply.status,
        state=state,
        attempts=reply.attempts,
        bitrix_lead_id=reply.bitrix_lead_id,
    )
    if reply.lead is not None and state == "synced":
        receipts.record_lead(reply.user_id, reply.lead)


def _count_settled(row: Row, state: FinalState, action: str) -> None:
    if row["older"]:
        SETTLED.inc("superseded", by=row["older"])
    if row["is_change"]:  # not a repeated failure
        SETTLED.inc(state)
    if state == "synced":
        TIME_TO_LEAD.observe(row["age_s"], action)


def _ledger_id(text: str) -> str:
    """The event id as stored in the ledger.

    Raises:
        BadMessage: not a UUID, so not one of our events.
    """
    try:
        return str(UUID(text))
    except ValueError:
        raise BadMessage(UNKNOWN_EVENT) from None


def _oldest_open_event(reply: Reply) -> str:
    """The id of the user's oldest open event: senders that leave out the id reply in order.

    Raises:
        BadMessage: the user has no open event of this action.
    """
    rows = database().run(settle_sql.OLDEST_OPEN, user_id=reply.user_id, action=reply.action)
    if not rows:
        raise BadMessage("the reply names no event, and no event of this user waits for one")
    return str(rows[0]["id"])
