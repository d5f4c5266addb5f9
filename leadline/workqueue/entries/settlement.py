"""The changes to a leased user's entry after a call."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from leadline.bitrix24.stored_lead import Fields
from leadline.errors import BitrixError
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.pending_event import PendingEvent

#: `delay_ms` of a user whose next call follows at once. 0 is for a user with a newer event, who is
#: delayed if this happens several times in a row.
AT_ONCE_MS = 1


@dataclass(frozen=True, slots=True)
class Settlement:
    """The changes to a leased user's entry after a call."""

    entry: Entry
    fields: Fields = field(default_factory=dict)
    #: The pending events after the call.
    events: tuple[PendingEvent, ...] = ()
    #: Delay until the user is due again, if events are left.
    delay_ms: int = 0
    #: Why the call failed, if it did.
    error: BitrixError | None = None
    #: How many leads of this user a lookup found.
    leads_found: int = 0
    #: Fields of the map that the portal refused: the lead is written again without them.
    refused_fields: tuple[str, ...] = ()
    #: Events of which only the attempt log has changed.
    logged: tuple[PendingEvent, ...] = ()

    def with_attempt(self, now_ms: int, error: str | None = None) -> "Settlement":
        """A copy that logs the attempt just made with each event that has counted it."""
        attempts_before = {event.event_id: event.attempts_made for event in self.entry.events}

        def with_log(event: PendingEvent) -> PendingEvent:
            if event.attempts_made <= attempts_before.get(event.event_id, 0):
                return event
            # An event with an outcome has its error there.
            error_of_event = None if event.outcome else error
            return replace(event, journey=event.journey.with_attempt(now_ms, error_of_event))

        return replace(self, events=tuple(map(with_log, self.events)))

    def with_calls(self, calls: Sequence[object]) -> "Settlement":
        """A copy that logs the calls just made with the newest event, whose state they wrote."""
        newest = max(self.entry.events, key=lambda event: event.seq, default=None)
        if newest is None or not calls:
            return self
        current = next(
            (event for event in self.events if event.event_id == newest.event_id), newest
        )
        logged = replace(current, journey=current.journey.with_calls(calls))
        # Not among the settled events: nothing but its log is written.
        if current is newest and newest not in self.events:
            return replace(self, logged=(logged,))
        return replace(
            self, events=tuple(logged if event is current else event for event in self.events)
        )
