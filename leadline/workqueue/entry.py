"""A user's entry in the work queue: its pending events, desired state and what was last applied.

Redis keeps the field names of earlier releases. This module maps them to ours when it reads them;
`Fields` of a settlement have Redis' names.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import orjson

from leadline.bitrix24 import stored_lead
from leadline.bitrix24.duplicates import Search
from leadline.bitrix24.leads import DesiredState, LastApplied
from leadline.bitrix24.stored_lead import Fields
from leadline.errors import BitrixError
from leadline.messages import attempt_log
from leadline.messages.attempt_log import AttemptLog
from leadline.messages.contract import LeadOutcome

#: `held`: a person decides which lead is the user's; the event stays open in the ledger.
OutcomeStatus = Literal["synced", "superseded", "failed", "held"]


class UnreadableEntry(Exception):
    """An entry that can't be parsed; the text names only the kind of error."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The final result of an event, kept until its reply is confirmed."""

    status: OutcomeStatus
    attempts: int
    lead_id: int | None = None
    reason: str | None = None
    #: A later retry could succeed without an operator.
    is_transient: bool = False
    #: Fencing token of the lease under which the event was applied.
    fence: str | None = None
    #: What became of the lead of an erased user.
    lead: LeadOutcome | None = None
    #: Fields of the map that the lead could not take, separated by commas.
    open_fields: str = ""
    #: Of a held user: the leads or contacts that may be meant.
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
    #: As in the message; None if the message has only the public keys.
    version: int | None
    correlation_id: str
    traceparent: str
    attempts: int = 0
    outcome: Outcome | None = None
    #: Its attempt log; named as in Redis.
    journey: AttemptLog = field(default_factory=AttemptLog)
    #: Sequence number among the user's events, assigned by the work queue.
    seq: int = 0
    #: History of the sender's database in which `version` counts; the reply names it.
    history: int | None = None

    def dumps(self) -> bytes:
        """The event as JSON, without its sequence number; without its calls if it has an outcome.

        Its reply is sent next. If the worker is killed before, the repeated reply has none.
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
            outcome=_outcome(**outcome) if outcome else None,
            journey=attempt_log.parse(journey),
            seq=int(seq),
        )

    @property
    def attempts_made(self) -> int:
        """Attempts so far, the last one included."""
        return self.outcome.attempts if self.outcome else self.attempts

    def after_attempt(self) -> "PendingEvent":
        """The event with one more attempt counted."""
        return replace(self, attempts=self.attempts + 1)


_STORED_AS_NAMED = tuple(
    field_.name for field_ in fields(PendingEvent) if field_.name not in {"seq", "outcome"}
)


def _outcome(outcome: OutcomeStatus, *, is_passing: bool = False, **others: Any) -> Outcome:
    """Parse what `Outcome.as_stored` returned."""
    ids: dict[str, Any] = {
        name: tuple(others.pop(name, ())) for name in ("lead_ids", "contact_ids")
    }
    return Outcome(outcome, **others, **ids, is_transient=is_passing)


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry of a leased user."""

    user_id: int
    #: The fencing token: each lease has a higher one; writes under an earlier lease are rejected.
    fence: str
    #: The newest state that any message carried, and its sequence number.
    state: DesiredState | None
    desired_seq: int
    #: Sequence number of the newest message that touched the stage.
    desired_stage_seq: int
    #: The lead as last applied, and the sequence numbers applied then. Not to be trusted while
    #: `needs_lookup`.
    last_applied: LastApplied | None
    applied_seq: int
    applied_stage_seq: int
    #: A lead id that a message named and no lookup has verified.
    claimed_lead_id: int | None
    #: The lead may differ from last applied, or exist without our knowing: look it up first.
    needs_lookup: bool
    #: Until then (unix ms by Redis' clock) a lost create may still run on the portal.
    wait_until_ms: int
    events: tuple[PendingEvent, ...]
    #: Sequence number of the newest message that requested a lookup, and of the newest such
    #: message for which one was done.
    lookup_requested_seq: int = 0
    lookup_done_seq: int = 0
    #: The Redis epoch in which the user was leased.
    redis_epoch: str = ""
    #: ORIGINATOR_ID of this user's lead; "": the setting decides.
    originator: str = ""
    #: How many times in a row an update found the lead gone.
    times_vanished: int = 0
    #: A request shared with other users was rejected, or its lookup inconclusive: the next one is
    #: for this user alone.
    needs_own_request: bool = False
    #: The lead was found by its id and has no origin yet.
    lacks_origin: bool = False
    #: The user was erased: "" no, else `1`, or `deleted` once a lead of it has been deleted.
    erased: str = ""
    #: Of an erased user: the leads already written, and the phone rows of the one to write.
    erased_leads: frozenset[int] = frozenset()
    phone_rows: tuple[int, ...] = ()
    #: The rows of its other multi-fields, each with its kind.
    other_rows: tuple[tuple[str, int], ...] = ()
    #: When the lead that lacks an origin was read, in unix ms by Redis' clock.
    linked_at_ms: int = 0
    #: The search for duplicates, if it was begun.
    search: Search | None = None
    #: An operator decided to create a lead, whatever a search would find.
    creates_anyway: bool = False
    #: Its lead is created without starting robots, where the portal can.
    is_quiet: bool = False

    @property
    def leased_at_ms(self) -> int:
        """When the user was leased, in unix ms by Redis' clock: the fencing token is that time."""
        return int(self.fence) // 1000

    @property
    def is_lookup_requested(self) -> bool:
        """Whether a message requested a lookup that is not done yet."""
        return self.lookup_requested_seq > self.lookup_done_seq

    @property
    def known_lead_id(self) -> int | None:
        """The lead id last applied, else the one that a message claimed."""
        return next(iter(self.known_lead_ids), None)

    @property
    def known_lead_ids(self) -> tuple[int, ...]:
        """The lead ids last applied and claimed by a message."""
        applied = self.last_applied.lead_id if self.last_applied else None
        ids = (applied, self.claimed_lead_id)
        return tuple(dict.fromkeys(one for one in ids if one is not None))

    @classmethod
    def loads(
        cls, user: bytes, content: dict[bytes, bytes], events: list[bytes], epoch: bytes = b""
    ) -> "Entry":
        """Parse an entry that was leased in this Redis epoch.

        Raises:
            UnreadableEntry: we can't have written it.
        """
        try:
            return cls._loads(user, content, events, epoch)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnreadableEntry(type(error).__name__) from None

    @classmethod
    def _loads(
        cls, user: bytes, content: dict[bytes, bytes], events: list[bytes], epoch: bytes
    ) -> "Entry":

        def number(name: bytes) -> int:
            return int(content.get(name, b"0"))

        return cls(
            user_id=int(user),
            fence=content[b"fence"].decode(),
            state=stored_lead.state(content),
            desired_seq=number(b"order"),
            desired_stage_seq=number(b"stage_order"),
            last_applied=stored_lead.last_applied(content),
            applied_seq=number(b"agreed_order"),
            applied_stage_seq=number(b"agreed_stage_order"),
            claimed_lead_id=number(b"hint") or None,
            needs_lookup=b"doubt" in content,
            wait_until_ms=number(b"wait_until"),
            lookup_requested_seq=number(b"look_order"),
            lookup_done_seq=number(b"looked_order"),
            redis_epoch=epoch.decode(),
            originator=content.get(b"originator", b"").decode(),
            times_vanished=number(b"vanished"),
            needs_own_request=b"alone" in content,
            lacks_origin=b"lacks_origin" in content,
            erased=content.get(b"erased", b"").decode(),
            erased_leads=frozenset(_numbers(content.get(b"erased_leads"))),
            phone_rows=_numbers(content.get(b"phone_rows")),
            other_rows=_rows(content.get(b"other_rows", b"").decode()),
            linked_at_ms=number(b"linked_at"),
            search=Search.loads(content[b"search"]) if content.get(b"search") else None,
            creates_anyway=b"anyway" in content,
            is_quiet=b"quiet" in content,
            events=tuple(sorted(map(PendingEvent.loads, events), key=lambda one: -one.seq)),
        )


def _rows(text: str) -> tuple[tuple[str, int], ...]:
    """Rows that are stored as `EMAIL:12,WEB:13`."""
    pairs = (one.split(":") for one in text.split(",") if one)
    return tuple((kind, int(row)) for kind, row in pairs)


def _numbers(text: bytes | None) -> tuple[int, ...]:
    """Numbers that are stored separated by commas."""
    return tuple(int(part) for part in text.split(b",")) if text else ()


@dataclass(frozen=True, slots=True)
class Settlement:
    """What to write for a leased user after a call."""

    entry: Entry
    fields: Fields = field(default_factory=dict)
    #: The events as they are now.
    events: tuple[PendingEvent, ...] = ()
    #: Delay until the user is due again, if events are left.
    delay_ms: int = 0
    #: Why the call failed, if it did.
    error: BitrixError | None = None
    #: How many leads of this user a lookup found.
    leads_found: int = 0
    #: An event of which only its attempt log has changed.
    logged: tuple[PendingEvent, ...] = ()

    def with_attempt(self, now_ms: int, error: str | None = None) -> "Settlement":
        """A copy with the attempt just made in the attempt log of each event that it counts for."""
        attempts_before = {event.event_id: event.attempts_made for event in self.entry.events}
        events = tuple(
            replace(
                event, journey=event.journey.with_attempt(now_ms, None if event.outcome else error)
            )
            if event.attempts_made > attempts_before.get(event.event_id, 0)
            else event
            for event in self.events
        )
        return replace(self, events=events)

    def with_calls(self, calls: Sequence[object]) -> "Settlement":
        """A copy with the calls just made in the attempt log of the newest event.

        Its state is what was applied: the older ones need no copies.
        """
        newest = max(self.entry.events, key=lambda event: event.seq, default=None)
        if newest is None or not calls:
            return self
        now = next((one for one in self.events if one.event_id == newest.event_id), newest)
        logged = replace(now, journey=now.journey.with_calls(calls))
        if now is newest and newest not in self.events:
            return replace(self, logged=(logged,))
        return replace(self, events=tuple(logged if one is now else one for one in self.events))
