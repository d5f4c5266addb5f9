"""An event that waits for its reply, and its outcome."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import orjson

from leadline.bitrix24.leads import DesiredState
from leadline.errors import BitrixError, LeadGone, Rejected
from leadline.messages import attempt_log
from leadline.messages.attempt_log import AttemptLog
from leadline.messages.contract import LeadOutcome

#: `held`: an operator decides which lead is the user's; the event stays open in the ledger.
OutcomeStatus = Literal["synced", "superseded", "failed", "held"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The final result of an event, kept until its reply is confirmed."""

    status: OutcomeStatus
    attempts: int
    #: The user's lead; of a failed event, a lead chosen for the user that belongs to another user.
    lead_id: int | None = None
    reason: str | None = None
    #: A later retry could succeed without an operator.
    is_transient: bool = False
    #: Fencing token of the lease under which the event was applied.
    fence: str | None = None
    #: The outcome for the lead of an erased user.
    lead: LeadOutcome | None = None
    #: Fields of the map that the lead could not take, separated by commas.
    open_fields: str = ""
    #: Of a held user: the leads or contacts that match.
    lead_ids: tuple[int, ...] = ()
    contact_ids: tuple[int, ...] = ()

    def as_stored(self) -> dict[str, Any]:
        """The outcome under the field names used in Redis."""
        ids = {"lead_ids": self.lead_ids, "contact_ids": self.contact_ids}
        rare = {"lead": self.lead, "open_fields": self.open_fields, **ids}
        return {name: value for name, value in rare.items() if value} | {
            "outcome": self.status,
            "attempts": self.attempts,
            "lead_id": self.lead_id,
            "reason": self.reason,
            "is_passing": self.is_transient,
            "fence": self.fence,
        }


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event whose reply is not confirmed yet."""

    event_id: str
    action: str
    #: The user as in the message, for the reply.
    user: dict[str, Any]
    reply_queue: str
    #: The version in the message; None if the message has only the required fields.
    version: int | None
    correlation_id: str
    traceparent: str
    attempts: int = 0
    outcome: Outcome | None = None
    #: Its attempt log; named as in Redis.
    journey: AttemptLog = field(default_factory=AttemptLog)
    #: Sequence number among the user's events, assigned by the work queue.
    seq: int = 0
    #: History of the sender's database in which `version` counts, by its beginning (unix ms); the
    #: reply names it.
    history: int | None = None

    def dumps(self) -> bytes:
        """The event as JSON, without its sequence number.

        An event with an outcome is stored without its calls: the reply that is sent next carries
        them, and a reply repeated after a kill has none.
        """
        stored = {name: getattr(self, name) for name in _STORED_AS_NAMED}
        if self.outcome and self.journey.calls:
            stored["journey"] = replace(self.journey, calls=())
        return orjson.dumps(stored | {"answered": self.outcome and self.outcome.as_stored()})

    def stored(self) -> bytes:
        """The event as Redis stores it: its sequence number, then its JSON."""
        return b"%d %s" % (self.seq, self.dumps())

    @classmethod
    def loads(cls, stored: bytes) -> "PendingEvent":
        """Parse what `stored` returned."""
        seq, _, text = stored.partition(b" ")
        content = orjson.loads(text)
        outcome, journey = content.pop("answered"), content.pop("journey", {})
        return cls(
            **content,
            outcome=_parse_outcome(**outcome) if outcome else None,
            journey=attempt_log.parse(journey),
            seq=int(seq),
        )

    @property
    def attempts_made(self) -> int:
        """Attempts so far, the last one included."""
        return self.outcome.attempts if self.outcome else self.attempts

    @property
    def state(self) -> DesiredState | None:
        """The state that the event's message carried; None if the message had no phone."""
        fields_ = dict(self.user)
        full_name, phone = fields_.pop("full_name", ""), fields_.pop("phone", None)
        if not phone:
            return None
        return DesiredState(full_name, phone, fields_.pop("stage", None), fields_)

    def after_attempt(self) -> "PendingEvent":
        """The event with one more attempt counted."""
        return replace(self, attempts=self.attempts + 1)

    def after_success(
        self, fence: str, lead_id: int, applied_seq: int, open_fields: str
    ) -> "PendingEvent":
        """The event as applied to this lead under this lease; unchanged if it has an outcome.

        `applied_seq`: the sequence number of the state applied; an older event is superseded.
        """
        if self.outcome is not None:
            return self
        status: OutcomeStatus = "synced" if self.seq == applied_seq else "superseded"
        attempts = self.attempts + 1
        outcome = Outcome(status, attempts, lead_id, fence=fence, open_fields=open_fields)
        return replace(self, outcome=outcome)

    def after_failure(self, error: BitrixError, taken_lead_id: int | None = None) -> "PendingEvent":
        """The event with this failure as its outcome; unchanged if it already has an outcome.

        `taken_lead_id`: the lead that was chosen for the user but belongs to another user.
        """
        if self.outcome is not None:
            return self
        outcome = Outcome(
            "failed",
            self.attempts + 1,
            taken_lead_id,
            reason=error.detail,
            # A lead that is gone is a Rejected too, but a retry creates a new one.
            is_transient=not isinstance(error, Rejected) or isinstance(error, LeadGone),
        )
        return replace(self, outcome=outcome)


_STORED_AS_NAMED = tuple(
    field_.name for field_ in fields(PendingEvent) if field_.name not in {"seq", "outcome"}
)


def _parse_outcome(outcome: OutcomeStatus, *, is_passing: bool = False, **others: Any) -> Outcome:
    """Parse what `Outcome.as_stored` returned."""
    ids: dict[str, Any] = {
        name: tuple(others.pop(name, ())) for name in ("lead_ids", "contact_ids")
    }
    return Outcome(outcome, **others, **ids, is_transient=is_passing)
