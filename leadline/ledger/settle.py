"""Into the ledger: what became of events, applied once, in any order, late or repeated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args
from uuid import UUID

import orjson
import structlog

from leadline.errors import BadMessage
from leadline.ledger import lost, resync, settle_sql
from leadline.ledger.resync import Again
from leadline.messages.attempt_log import Journey
from leadline.messages.cloudevents import number
from leadline.messages.contract import Reply
from leadline.runtime.postgres.pool import UNIQUE_VIOLATION, Row, StatementError, database
from leadline.runtime.telemetry import metrics, trace_context
from leadline.runtime.telemetry.trace_context import Trace
from leadline.settings import settings

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
LOST_EVENT = (
    "the reply answers an event that Postgres has lost, by a failover or a restore; if it still has"
    " the user, the lead is compared with it"
)

#: What Postgres is told of an answer.
_Told = dict[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply and what its envelope said."""

    reply: Reply
    #: What the sender says beyond the public reply ("superseded"), None from others.
    outcome: str | None = None
    #: The token of the lease that applied it.
    fence: str | None = None
    #: The history of Postgres that the event belongs to, None from senders that know of none.
    history: str | None = None
    #: The sender says that a later try may succeed; the relay will make it.
    is_passing: bool = False
    #: How the event fared, kept for whoever asks why.
    journey: Journey | None = None
    trace: Trace = field(default_factory=trace_context.current)

    @property
    def state(self) -> Outcome:
        """How it closes the event."""
        if self.reply.status == "error":
            return "failed"
        return "superseded" if self.outcome == "superseded" else "synced"

    @property
    def reason(self) -> str | None:
        """Why the event has failed, if it has."""
        return (self.reply.reason or "no reason given") if self.state == "failed" else None


def apply(answers: Sequence[Answer]) -> None:
    """Settle the events that these answer; a reply that comes again changes nothing.

    Those of different users share a statement, those of one user are applied in their order. Where
    an older state was written over a newer one, the newest is sent once more.

    Raises:
        BadMessage: there is no such user or event; others may have been applied.
        DatabaseDown: some or all were not applied.
    """
    left = list(answers)
    while left:
        first = {one.reply.user_id: one for one in reversed(left)}
        left = [one for one in left if first[one.reply.user_id] is not one]
        _apply_together(first)


def _apply_together(answers: Mapping[int, Answer]) -> None:
    """Apply one answer for each user, by its id."""
    told = {user_id: _told(answer) for user_id, answer in answers.items()}
    settled = _settled(told.values())
    others = [one for user_id, one in told.items() if user_id not in settled]
    repeated = _run(settle_sql.REPEATED, others) if others else {}
    for user_id, row in {**settled, **repeated}.items():
        trace_context.resume(answers[user_id].trace)
        _note(answers[user_id], told[user_id], row, is_repeated=user_id in repeated)
    unknown = answers.keys() - settled.keys() - repeated.keys()
    are_lost = [lost.is_lost(answers[one].reply, answers[one].history) for one in unknown]
    if unknown:
        raise BadMessage(LOST_EVENT if any(are_lost) else UNKNOWN_EVENT)


def _settled(told: Iterable[_Told]) -> dict[int, Row]:
    """What became of these answers, by user, where they settled anything."""
    try:
        return _run(settle_sql.SETTLE, told, retry_for_s=settings().retry_for_s)
    except StatementError as error:
        if error.code != UNIQUE_VIOLATION:
            raise
        # Somebody has just given one of these leads to another user; by now that can be seen.
        return _run(settle_sql.SETTLE, told, retry_for_s=settings().retry_for_s)


def _run(sql: str, told: Iterable[_Told], **params: object) -> dict[int, Row]:
    """What a statement says of these answers, by user."""
    rows = database().run(sql, answers=orjson.dumps([*told]).decode(), **params)
    return {row["id"]: row for row in rows}


def _told(answer: Answer) -> _Told:
    """What Postgres is told of an answer."""
    reply, state, reason = answer.reply, answer.state, answer.reason
    is_failed = state == "failed"
    journey = answer.journey.ended(reason).dumps() if answer.journey else None
    return {
        "event_id": _ledger_id(reply.event_id) if reply.event_id else _event_without_id(reply),
        "user_id": reply.user_id,
        "state": state,
        "reason": reason,
        "attempts": reply.attempts,
        "lead_id": None if is_failed else reply.bitrix_lead_id,
        "fence": number(answer.fence),
        "is_passing": answer.is_passing and is_failed,
        "journey": orjson.Fragment(journey) if journey else None,
    }


def _note(answer: Answer, told: _Told, row: Row, *, is_repeated: bool) -> None:
    reply = answer.reply
    state = answer.state if is_repeated else row["state"]
    if not is_repeated:
        _count(row, state, reply.action)
    if state != answer.state:
        log.error("the lead of a reply is another user's", user_id=reply.user_id)
    if row["overwrites"]:
        with_stage = row["overwrites_stage"]
        resync.ask([Again(reply.user_id, row["version"], with_stage=with_stage, is_certain=True)])
        log.warning("an older state was written over a newer one", user_id=reply.user_id)
    log.info(
        "reply repeated" if is_repeated else "reply received",
        event_id=told["event_id"],
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


def _ledger_id(text: str) -> str:
    """The id as the ledger writes it; ids of other senders' making are none of ours."""
    try:
        return str(UUID(text))
    except ValueError:
        raise BadMessage(UNKNOWN_EVENT) from None


def _event_without_id(reply: Reply) -> str:
    """A sender that knows only the public keys answers in order: its oldest open event."""
    rows = database().run(settle_sql.OLDEST_OPEN, user_id=reply.user_id, action=reply.action)
    if not rows:
        raise BadMessage("the reply names no event, and no event of this user waits for one")
    return str(rows[0]["id"])
