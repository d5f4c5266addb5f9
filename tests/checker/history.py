"""What a run of the whole system looked like from outside: the checker's input.

Plain data, filled in by the simulation and by the laboratory. Every `at` is a time of the observer
(the harness), in seconds; what clocks of the system under test said has no place here. A field that
a harness cannot know keeps its default, and the rules then judge what is left.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Action = Literal["create_card", "update_card", "move_card"]
EventState = Literal["open", "synced", "superseded", "failed"]
#: From when to when.
Window = tuple[float, float]
#: Names of a user's fields, as clients and the ledger's `changed` have them.
FULL_NAME, PHONE, STAGE = "full_name", "phone", "stage"
FIELDS = (FULL_NAME, PHONE, STAGE)


@dataclass(frozen=True)
class State:
    """How a user looks."""

    full_name: str
    phone: str
    stage: str


# What clients saw


@dataclass(frozen=True)
class ClientWrite:
    """One HTTP request that writes; a repeat under the same idempotency key is one of its own."""

    at: float
    action: Action
    #: The fields it gave.
    changes: Mapping[str, str]
    #: HTTP status; 0 where no answer came.
    status: int
    #: Whom it was for; of a create: whom the answer names.
    user: int | None = None
    if_match: int | None = None
    key: str | None = None
    #: The version in the answer, and the user that it shows; None where it did not succeed.
    version: int | None = None
    answered: State | None = None
    answered_at: float | None = None
    #: How many forks of Postgres came before the answer.
    era: int = 0

    @property
    def is_acknowledged(self) -> bool:
        """Whether the client was promised that it is stored."""
        return 200 <= self.status < 300

    @property
    def is_unsure(self) -> bool:
        """Whether it may have been stored though no success was answered."""
        return self.status == 0 or self.status >= 500


# What the ledger holds at rest


@dataclass(frozen=True)
class LedgerEvent:
    """A row of `events`."""

    id: str
    user: int
    version: int
    action: Action
    #: The fields that its client gave; none for an event that only wants the lead looked at.
    changed: frozenset[str]
    state: State
    outcome: EventState
    reason: str | None = None
    attempts: int = 0
    #: The history of Postgres in which it was written; None where the ledger knows none.
    history: int | None = None


@dataclass(frozen=True)
class LedgerUser:
    """A row of `users`."""

    id: int
    version: int
    state: State
    sync_status: str
    reason: str | None = None
    lead_id: int | None = None


# What the broker carried


@dataclass(frozen=True)
class Publication:
    """A request for Bitrix24 that the broker took, each sending and each copy one."""

    event_id: str
    at: float = 0.0


@dataclass(frozen=True)
class Reply:
    """A reply that the broker took, each copy one."""

    event_id: str
    user: int
    status: Literal["success", "error"]
    #: `synced`, `superseded` or `failed`.
    outcome: str
    attempts: int
    at: float = 0.0
    reason: str | None = None
    #: The reason may pass: the ledger will send the event again.
    is_passing: bool = False
    #: The public `version` of the reply.
    version: int | None = None


@dataclass(frozen=True)
class DeadLetter:
    """A message in the dead letters at rest."""

    queue: str
    message_id: str | None = None
    #: The event that it is or answers, where it can be read.
    event_id: str | None = None
    #: Why, as an operator sees it.
    reason: str = ""


# What the portal saw

#: `executed`: its commands were run (each says how it ended), whether or not the answer arrived;
#: `refused`: turned away before any ran, for the rate, an operating limit or because the portal is
#: closed; `failed`: a whole error or no answer, and nothing was run; `unsent`: it never arrived,
#: which only a harness that sees the sender can tell.
Fate = Literal["executed", "refused", "failed", "unsent"]
#: How a command ended, as its portal saw it; `cut`: a limit or a loss came before it.
Result = Literal["done", "error", "refused", "cut"]


@dataclass(frozen=True)
class Command:
    """One command, alone or of a batch."""

    method: str
    result: Result
    #: The portal's id of the lead it wrote or made, where it says.
    lead: int | None = None
    #: The users it is for: a write is for one, a look-up for several.
    users: tuple[int, ...] = ()
    #: What was written, by a user's field names.
    fields: Mapping[str, str] = field(default_factory=dict)
    #: Ids of the events for which this is an attempt; empty where the harness can't tell.
    events: tuple[str, ...] = ()
    #: (history, version) of the state it wrote; None where the harness can't tell.
    written: tuple[int, int] | None = None
    #: When it was carried out, if later than its request came.
    at: float | None = None
    #: Whether the sender read the answer; None where the harness can't tell.
    is_answer_read: bool | None = None
    #: Of an `error`: whether no other try would help.
    is_final: bool = False


@dataclass(frozen=True)
class PortalRequest:
    """One HTTP request of ours at the portal."""

    #: When it arrived (of an unsent one: when it was given up).
    at: float
    #: Address and webhook: what the portal counts together.
    source: str
    fate: Fate
    commands: tuple[Command, ...] = ()
    #: When its sender sent it, on the observer's clock; None where the harness can't tell.
    sent_at: float | None = None


@dataclass(frozen=True)
class LeadWrite:
    """A write that the portal carried out on a lead, its creation and deletion among them."""

    at: float
    #: `us`: through our webhook; `hand`: a person or anybody else.
    by: Literal["us", "hand"]
    kind: Literal["create", "update", "delete"]
    #: What was set, by a user's field names; `phone` is our row ("" removes it), and what a person
    #: adds in a row of its own is `phone_added`.
    fields: Mapping[str, str] = field(default_factory=dict)
    #: (history, version) of the state; None where the harness can't tell.
    written: tuple[int, float] | None = None


@dataclass(frozen=True)
class Lead:
    """A lead that bears (or bore) the origin of one of our users."""

    id: int
    #: The user's id in its origin.
    user: int
    #: How it looks at rest; meaningless once it is deleted.
    title: str = ""
    #: The short name; None where the harness does not look at it.
    name: str | None = None
    phones: tuple[str, ...] = ()
    stage: str = ""
    is_deleted: bool = False
    #: In the portal's order.
    writes: tuple[LeadWrite, ...] = ()


@dataclass(frozen=True)
class Rate:
    """The portal's request limit while the run lasted."""

    per_s: float = 2.0
    burst: float = 50.0


# What the harness did


@dataclass(frozen=True)
class Fork:
    """Postgres lost its newest writes: a restore, or a replica that was behind took over."""

    at: float
    #: (user, version) of the events that are gone.
    lost: frozenset[tuple[int, int]]
    #: The number of the history in force before; None where the ledger knew none.
    history_before: int | None = None


@dataclass(frozen=True)
class Injected:
    """What the harness broke, as far as it excuses anything."""

    forks: tuple[Fork, ...] = ()
    #: Reasons for which the portal was made to reject for good; nothing else may end as failed.
    rejections: frozenset[str] = frozenset()
    #: Ids of messages that can't be served, by the queue of dead letters in which they belong.
    poison: Mapping[str, str] = field(default_factory=dict)
    #: The broker lost queues with what may have been in them.
    messages_were_lost: bool = False
    #: From when to when a process or server other than the portal was killed, frozen, cut off or
    #: lost its memory: what was sent may be sent twice, and an attempt may be made uncounted.
    losses: tuple[Window, ...] = ()
    #: Events that the harness had delivered or answered by itself, besides the system.
    replayed: frozenset[str] = frozenset()
    #: When Redis lost memory, all or its last second: attempts start again.
    redis_losses: tuple[float, ...] = ()
    #: From when to when the way to the portal was so disturbed that arrivals say little about when
    #: requests were sent, or that some did not arrive.
    blurs: tuple[Window, ...] = ()


# What can be read by people


@dataclass(frozen=True)
class Text:
    """A line of a log, of the dead letters' listing, or of the metrics."""

    source: str
    line: str


@dataclass(frozen=True)
class History:
    """One run, from its first write to its rest."""

    writes: tuple[ClientWrite, ...] = ()
    users: Mapping[int, LedgerUser] = field(default_factory=dict)
    #: By user and version.
    events: tuple[LedgerEvent, ...] = ()
    #: The number of Postgres' history in force at rest; None where the ledger knows none.
    history_number: int | None = None
    publications: tuple[Publication, ...] = ()
    replies: tuple[Reply, ...] = ()
    #: Whether `publications` and `replies` hold all that there were.
    is_broker_complete: bool = False
    dead_letters: tuple[DeadLetter, ...] = ()
    #: In the order of their arrival.
    requests: tuple[PortalRequest, ...] = ()
    rate: Rate = Rate()
    leads: tuple[Lead, ...] = ()
    injected: Injected = Injected()
    texts: Iterable[Text] = ()
    #: Names, phones, keys, passwords, the webhook's code: what no text may show.
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Broken:
    """A rule that was not kept, and to whom."""

    rule: str
    promise: str
    what: str
    user: int | None = None

    def __str__(self) -> str:
        whom = f" to user {self.user}" if self.user is not None else ""
        return f"{self.promise} broken{whom} ({self.rule}): {self.what}"
