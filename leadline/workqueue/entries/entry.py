"""A user's entry in the work queue: its pending events, desired state and what was last applied."""

from dataclasses import dataclass

from leadline.bitrix24 import stored_lead
from leadline.bitrix24.duplicates import Search
from leadline.bitrix24.leads import DesiredState, LastApplied
from leadline.workqueue.entries.pending_event import PendingEvent


class UnreadableEntry(Exception):
    """An entry that can't be parsed; the text names only the kind of error."""


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
    #: Until when (unix ms by Redis' clock) a lost create may still run on the portal.
    wait_until_ms: int
    #: The newest first.
    events: tuple[PendingEvent, ...]
    #: Sequence number of the newest message that requested a lookup, and of the newest such
    #: message whose lookup was done.
    lookup_requested_seq: int = 0
    lookup_done_seq: int = 0
    #: The Redis epoch in which the user was leased.
    redis_epoch: str = ""
    #: ORIGINATOR_ID of this user's lead; "": the setting decides.
    originator: str = ""
    #: How many times in a row an update failed because the lead was gone.
    times_vanished: int = 0
    #: A request shared with other users was rejected, or its lookup inconclusive: the next one is
    #: for this user alone.
    needs_own_request: bool = False
    #: The lead was found by its id and has no origin yet.
    lacks_origin: bool = False
    #: The user was erased: "" no, else `1`, `deleted` once a lead of it has been deleted, or
    #: `neutral` once the portal has refused to empty a field.
    erased: str = ""
    #: Of an erased user: the leads already written, and the phone rows of the one to write.
    erased_leads: frozenset[int] = frozenset()
    phone_rows: tuple[int, ...] = ()
    #: The rows of the other multi-fields of that lead, each with its kind, such as EMAIL.
    other_rows: tuple[tuple[str, int], ...] = ()
    #: When the lead that lacks an origin was read, in unix ms by Redis' clock.
    linked_at_ms: int = 0
    #: The search for duplicates, if it was begun.
    search: Search | None = None
    #: An operator decided to create a lead without a search.
    creates_anyway: bool = False
    #: The user's lead is created without starting robots, if the portal supports that.
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
        return tuple(dict.fromkeys(lead_id for lead_id in ids if lead_id is not None))

    @property
    def known_states(self) -> tuple[DesiredState, ...]:
        """The desired state, and the states of the other pending events."""
        desired = (self.state,) if self.state else ()
        return (*desired, *(state for event in self.events if (state := event.state)))

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
            state=stored_lead.load_state(content),
            desired_seq=number(b"order"),
            desired_stage_seq=number(b"stage_order"),
            last_applied=stored_lead.load_last_applied(content),
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
            events=tuple(sorted(map(PendingEvent.loads, events), key=lambda event: -event.seq)),
        )


def _rows(text: str) -> tuple[tuple[str, int], ...]:
    """Rows that are stored as `EMAIL:12,WEB:13`."""
    pairs = (pair.split(":") for pair in text.split(",") if pair)
    return tuple((kind, int(row)) for kind, row in pairs)


def _numbers(text: bytes | None) -> tuple[int, ...]:
    """Numbers that are stored separated by commas."""
    return tuple(int(part) for part in text.split(b",")) if text else ()
