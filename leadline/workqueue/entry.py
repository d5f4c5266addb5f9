"""What is owed to Bitrix24 for one user, as the work queue keeps it."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import orjson

from leadline.bitrix24.leads import Agreed, State
from leadline.errors import BitrixError
from leadline.messages import attempt_log
from leadline.messages.attempt_log import Journey

Outcome = Literal["synced", "superseded", "failed"]
#: Fields of an entry to write; an empty text deletes one.
Fields = dict[str, str | bytes | int]


class UnreadableEntry(Exception):
    """An entry of the work queue that can't be read; its text names the kind of mistake only."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An event's end, kept until its reply is confirmed."""

    outcome: Outcome
    attempts: int
    lead_id: int | None = None
    reason: str | None = None
    #: Whether a later try could succeed without anybody's help.
    is_passing: bool = False
    #: The lease under which it was applied.
    fence: str | None = None


@dataclass(frozen=True, slots=True)
class Owed:
    """An event that waits for its reply."""

    event_id: str
    action: str
    #: The user as the message had it, for the reply.
    user: dict[str, Any]
    reply_queue: str
    #: As the message had it; one with only the public keys has none.
    version: int | None
    correlation_id: str
    traceparent: str
    attempts: int = 0
    answered: Answered | None = None
    journey: Journey = field(default_factory=Journey)
    #: Its place in the user's sequence; the work queue gives it.
    order: int = 0
    #: The history of the sender's database, in which `version` counts; its reply names it.
    history: int | None = None

    def dumps(self) -> bytes:
        """The event as the work queue stores it, without its place."""
        return orjson.dumps({name: getattr(self, name) for name in _STORED})

    def stored(self) -> bytes:
        """The event with its place."""
        return b"%d %s" % (self.order, self.dumps())

    @classmethod
    def loads(cls, stored: bytes) -> "Owed":
        """An event out of the work queue."""
        order, _, text = stored.partition(b" ")
        content = orjson.loads(text)
        answered, way = content.pop("answered"), content.pop("journey", {})
        return cls(
            **content,
            answered=Answered(**answered) if answered else None,
            journey=attempt_log.read(way),
            order=int(order),
        )

    @property
    def attempts_made(self) -> int:
        """Attempts so far, the last one among them."""
        return self.answered.attempts if self.answered else self.attempts

    def after_attempt(self) -> "Owed":
        """The event with one attempt more."""
        return replace(self, attempts=self.attempts + 1)


_STORED = tuple(one.name for one in fields(Owed) if one.name != "order")


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event on its way into the work queue."""

    user_id: int
    event: Owed
    #: The user's whole state as JSON; empty where the message has none that could be applied.
    state: bytes
    #: Whether the stage is to be written; None: it is if the stage differs from the one before.
    touches_stage: bool | None
    #: Nobody can have served this event before.
    is_first: bool
    #: When the write was accepted, in unix ms; None where the message does not say.
    occurred_at_ms: int | None
    #: The lead's id as the sender knows it.
    lead_id: int | None
    #: Somebody doubts that the lead still is what both sides agreed on.
    wants_look: bool = False
    #: The earlier write that set the stage, where its own message may have been lost.
    stage_version: int | None = None
    #: When it was sent, in unix ms, by a sender that will send it again; else None.
    sent_at_ms: int | None = None
    #: What the leads of the sender's installation bear; None: it does not say.
    originator: str | None = None
    #: The version that set the stage in the sender's database; None: it does not say.
    stage_set: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A leased user."""

    user_id: int
    #: Counts the leases; what an earlier lessee writes is refused.
    fence: str
    #: Newest state that any message carried, and its place in the user's sequence.
    state: State | None
    order: int
    #: Place of the newest message that touched the stage.
    stage_order: int
    #: The lead as it was last applied, and the places of what had been applied then. A hint only
    #: while the entry is doubtful.
    agreed: Agreed | None
    agreed_order: int
    agreed_stage_order: int
    #: A lead id that a message named, not seen by us yet.
    hint: int | None
    #: The lead may differ from what was last applied, or exist unknown to us: look it up first.
    is_doubtful: bool
    #: Until then (ms of Redis' clock) a lost create may still be running on the portal.
    wait_until_ms: int
    events: tuple[Owed, ...]
    #: Place of the newest message that wants the lead to be looked at, and of the newest such one
    #: for which that was done.
    look_order: int = 0
    looked_order: int = 0
    #: Redis' epoch in which it was leased.
    epoch: str = ""
    #: What leads of this user bear; "": the setting decides.
    originator: str = ""
    #: How often in a row its lead had vanished when it was to be updated.
    vanished: int = 0
    #: Its leads, or those of users looked up with it, fill a page: it is looked up alone.
    is_alone: bool = False
    #: The lead was found by its id and bears no origin yet.
    lacks_origin: bool = False

    @property
    def wants_look(self) -> bool:
        """What was agreed on may not hold any more."""
        return self.look_order > self.looked_order

    @property
    def known_id(self) -> int | None:
        """The lead's id as far as anybody knows it."""
        return self.agreed.lead_id if self.agreed else self.hint

    @classmethod
    def loads(
        cls, user: bytes, content: dict[bytes, bytes], events: list[bytes], epoch: bytes = b""
    ) -> "Entry":
        """An entry out of the work queue, leased in this epoch of Redis.

        Raises:
            UnreadableEntry: it is none that we could have written.
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

        state, agreed = content.get(b"state"), content.get(b"agreed")
        return cls(
            user_id=int(user),
            fence=content[b"fence"].decode(),
            state=State(**orjson.loads(state)) if state else None,
            order=number(b"order"),
            stage_order=number(b"stage_order"),
            agreed=Agreed(**orjson.loads(agreed)) if agreed else None,
            agreed_order=number(b"agreed_order"),
            agreed_stage_order=number(b"agreed_stage_order"),
            hint=number(b"hint") or None,
            is_doubtful=b"doubt" in content,
            wait_until_ms=number(b"wait_until"),
            look_order=number(b"look_order"),
            looked_order=number(b"looked_order"),
            epoch=epoch.decode(),
            originator=content.get(b"originator", b"").decode(),
            vanished=number(b"vanished"),
            is_alone=b"alone" in content,
            lacks_origin=b"lacks_origin" in content,
            events=tuple(sorted(map(Owed.loads, events), key=lambda event: -event.order)),
        )


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is written down of a leased user."""

    entry: Entry
    fields: Fields = field(default_factory=dict)
    #: Events as they are now.
    events: tuple[Owed, ...] = ()
    #: When the user is due again if anything is left to do.
    delay_ms: int = 0
    #: Why the call failed, if it did.
    error: BitrixError | None = None

    def noted(self, now_ms: int, error: str | None = None) -> "Settlement":
        """With the attempt that an event has just had, in that event's journey."""
        before = {event.event_id: event.attempts_made for event in self.entry.events}
        events = tuple(
            replace(event, journey=event.journey.tried(now_ms, None if event.answered else error))
            if event.attempts_made > before.get(event.event_id, 0)
            else event
            for event in self.events
        )
        return replace(self, events=events)
