"""An event to put into the work queue, and the result."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from leadline.runtime import lua
from leadline.workqueue.entries.pending_event import PendingEvent


class PutResult(Enum):
    """The result of putting an event into the work queue; the values are those of put.lua."""

    #: Rejected: the event was sent before Redis lost its data, and the lost data may have held a
    #: newer event of this user. The sender will republish the user's open events.
    TOO_OLD = -1
    #: The caller has claimed the wake-up and must enqueue a job.
    WAKE_UP_CLAIMED = 0
    #: A worker will lease the user without another job.
    WAKE_UP_NOT_NEEDED = 1


@dataclass(frozen=True, slots=True)
class EnqueueRequest:
    """An event to put into the work queue."""

    user_id: int
    event: PendingEvent
    #: The desired state as JSON; empty if the message's state can't be applied.
    state: bytes
    #: Whether to write the stage; None: only if it differs from the previous desired stage.
    touches_stage: bool | None
    #: First delivery: the event can't have been applied before.
    is_first: bool
    #: When the write was accepted, in unix ms; None if the message doesn't say.
    occurred_at_ms: int | None
    #: The lead id that the sender claims.
    lead_id: int | None
    #: The sender requests that the lead is read instead of trusting last applied.
    is_lookup_requested: bool = False
    #: An operator decided to create a lead without searching for duplicates.
    creates_anyway: bool = False
    #: The user's lead is created without starting robots, if the portal supports that.
    is_quiet: bool = False
    #: The user was erased: the entry forgets the person.
    is_erasure: bool = False
    #: The version that set the stage, if it is not the event's own: that of an earlier event whose
    #: message may be lost.
    stage_version: int | None = None
    #: When this was the user's newest open event in the database of a sender that republishes
    #: unanswered events, in unix ms; None for any other sender.
    sent_at_ms: int | None = None
    #: ORIGINATOR_ID of the leads of the sender's installation; None if it doesn't say.
    originator: str | None = None
    #: The version that set the stage which the user now has in the sender's database, also if this
    #: event does not touch the stage; None if the sender doesn't say.
    stage_set: int | None = None
    #: Further fields of the desired state as JSON; empty: the message has none.
    fields: bytes = b""

    def as_arguments(self) -> dict[str, Any]:
        """The arguments of put.lua for this event."""
        event = self.event
        return lua.without_none(
            {
                "user": str(self.user_id),
                "event_id": event.event_id,
                "event": event.dumps().decode(),
                "state": self.state.decode() or None,
                "fields": self.fields.decode() or None,
                "version": event.version,
                "touches_stage": self.touches_stage,
                "is_first": self.is_first,
                "occurred_at_ms": self.occurred_at_ms,
                "lead_id": str(self.lead_id) if self.lead_id else None,
                "is_lookup_requested": self.is_lookup_requested or self.is_erasure,
                "is_erasure": self.is_erasure,
                "creates_anyway": self.creates_anyway,
                "is_quiet": self.is_quiet,
                "stage_version": self.stage_version,
                "sent_at_ms": self.sent_at_ms,
                "history": str(event.history) if event.history else None,
                "originator": self.originator or None,
                "stage_set": self.stage_set,
            }
        )
