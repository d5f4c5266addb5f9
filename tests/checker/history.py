"""A run of the whole system as observed from outside, a history: the checker's input.

The history of Postgres, which a fork ends, is `history_number` in `History`, and `history` in all
other classes. Plain data, filled in by the simulation and by the laboratory. Every `at` is a time
of the observer (the harness), in seconds; times by clocks of the system under test have no place
here. A field that a harness cannot know keeps its default, and the rules then judge the rest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Action = Literal["create_card", "update_card", "move_card"]
EventState = Literal["open", "synced", "superseded", "failed"]
#: Start and end.
Window = tuple[float, float]
#: Names of a user's fields, as in clients' requests and in the ledger's `changed`.
FULL_NAME, PHONE, STAGE = "full_name", "phone", "stage"
FIELDS = (FULL_NAME, PHONE, STAGE)


@dataclass(frozen=True)
class State:
    """A user's fields."""

    full_name: str
    phone: str
    stage: str


# Observed by clients


@dataclass(frozen=True)
class ClientWrite:
    """One HTTP request that writes; a repeat under the same idempotency key counts as another."""

    at: float
    action: Action
    #: The fields in the request.
    changes: Mapping[str, str]
    #: HTTP status; 0 where no answer came.
    status: int
    #: The user; for a create, the one in the answer.
    user: int | None = None
    #: The version in `If-Match`: the write applies only to that version.
    if_match: int | None = None
    #: The idempotency key.
    key: str | None = None
    #: The version and the user's fields in the answer; None if the write did not succeed.
    version: int | None = None
    answered: State | None = None
    answered_at: float | None = None
    #: How many forks of Postgres came before the answer.
    era: int = 0

    @property
    def is_acknowledged(self) -> bool:
        """Whether the answer promised the client that the write is stored."""
        return 200 <= self.status < 300

    @property
    def is_unsure(self) -> bool:
        """Whether it may have been stored although the answer was no success."""
        return self.status == 0 or self.status >= 500


# The ledger's rows once all is settled


@dataclass(frozen=True)
class LedgerEvent:
    """A row of `events`."""

    id: str
    user: int
    version: int
    action: Action
    #: The fields that its client gave; none for a resync event.
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


# The broker's messages


@dataclass(frozen=True)
class Publication:
    """A request message that the broker accepted; each publication and each copy is one."""

    event_id: str
    at: float = 0.0


@dataclass(frozen=True)
class Reply:
    """A reply that the broker accepted; each copy is one."""

    event_id: str
    user: int
    status: Literal["success", "error"]
    #: `synced`, `superseded` or `failed`.
    outcome: str
    attempts: int
    at: float = 0.0
    reason: str | None = None
    #: The failure may be transient: the ledger will republish the event.
    is_transient: bool = False
    #: The public `version` of the reply.
    version: int | None = None


@dataclass(frozen=True)
class DeadLetter:
    """A message in the dead letters at the end of the run."""

    queue: str
    message_id: str | None = None
    #: The event that the message carries or answers, if that is readable.
    event_id: str | None = None
    #: The reason, as shown to an operator.
    reason: str = ""


# Observed by the portal

#: `executed`: its commands were run (each says how it ended), whether or not the answer arrived;
#: `refused`: turned away before any ran, for the rate, an operating limit or because the portal is
#: closed; `failed`: an error as a whole or no answer, and nothing was run; `unsent`: it never
#: arrived, which only a harness that observes the sender can know.
Fate = Literal["executed", "refused", "failed", "unsent"]
#: How a command ended, as its portal saw it; `cut`: a limit or a loss came before it.
Result = Literal["done", "error", "refused", "cut"]


@dataclass(frozen=True)
class Command:
    """One command, alone or of a batch."""

    method: str
    result: Result
    #: The portal's id of the lead that it wrote or created, if known.
    lead: int | None = None
    #: The users it is for: a write is for one, a lookup for several.
    users: tuple[int, ...] = ()
    #: The written values, by the user's field names.
    fields: Mapping[str, str] = field(default_factory=dict)
    #: Ids of the events for which this is an attempt; empty where the harness does not know.
    events: tuple[str, ...] = ()
    #: (history, version) of the state it wrote; None where the harness does not know.
    written: tuple[int, int] | None = None
    #: When it was executed, if later than its request came.
    at: float | None = None
    #: Whether the sender read the answer; None where the harness does not know.
    is_answer_read: bool | None = None
    #: Of an `error`: whether no retry would help.
    is_final: bool = False


@dataclass(frozen=True)
class PortalRequest:
    """One HTTP request of ours at the portal."""

    #: When it arrived (of an unsent one: when it was given up).
    at: float
    #: Address and webhook: the portal counts requests by it.
    source: str
    fate: Fate
    commands: tuple[Command, ...] = ()
    #: When its sender sent it, on the observer's clock; None where the harness does not know.
    sent_at: float | None = None


@dataclass(frozen=True)
class LeadWrite:
    """A write that the portal executed on a lead, its creation and deletion included."""

    at: float
    #: `us`: through our webhook; `hand`: a person or another program.
    by: Literal["us", "hand"]
    kind: Literal["create", "update", "delete"]
    #: The values, by the user's field names; `phone` is our row ("" removes it), and a person's own
    #: additional row is `phone_added`.
    fields: Mapping[str, str] = field(default_factory=dict)
    #: (history, version) of the state; the version has a fraction if its message had none of its
    #: own. None where the harness does not know.
    written: tuple[int, float] | None = None


@dataclass(frozen=True)
class Lead:
    """A lead that has or had the origin of one of our users."""

    id: int
    #: The user's id, from its origin.
    user: int
    #: Its final state; meaningless once it is deleted.
    title: str = ""
    #: Its NAME, the full name cut to NAME's length; None where the harness does not read it.
    name: str | None = None
    phones: tuple[str, ...] = ()
    stage: str = ""
    is_deleted: bool = False
    #: In the portal's order.
    writes: tuple[LeadWrite, ...] = ()


@dataclass(frozen=True)
class Rate:
    """The portal's request limit during the run."""

    per_s: float = 2.0
    burst: float = 50.0


# Injected by the harness


@dataclass(frozen=True)
class Fork:
    """Postgres lost its newest writes: a restore, or the promotion of a lagging replica."""

    at: float
    #: (user, version) of the lost events.
    lost: frozenset[tuple[int, int]]
    #: The history in force before; None where the ledger knew none.
    history_before: int | None = None


@dataclass(frozen=True)
class InjectedFaults:
    """Faults injected by the harness, as far as they excuse anything."""

    forks: tuple[Fork, ...] = ()
    #: Reasons for which the portal was made to reject permanently; nothing else may end as failed.
    rejections: frozenset[str] = frozenset()
    #: The dead letter queue in which each unprocessable message belongs, by the message's id.
    poison: Mapping[str, str] = field(default_factory=dict)
    #: The broker lost queues together with any messages in them.
    messages_were_lost: bool = False
    #: Begin and end of each time when a process or server other than the portal was killed, frozen,
    #: cut off or lost data: a message may be sent twice, and an attempt may be made uncounted.
    losses: tuple[Window, ...] = ()
    #: Events that the harness itself delivered or answered, in addition to the system.
    replayed: frozenset[str] = frozenset()
    #: When Redis lost data, all or the writes of its last second: attempts start again.
    redis_losses: tuple[float, ...] = ()
    #: Begin and end of each time when the network to the portal was so disturbed that arrivals say
    #: little about when requests were sent, or that some did not arrive.
    blurs: tuple[Window, ...] = ()


# Texts for people


@dataclass(frozen=True)
class Text:
    """A line of a log, of the dead letters' listing, or of the metrics."""

    source: str
    line: str


@dataclass(frozen=True)
class History:
    """One run, from its first write until all is settled."""

    writes: tuple[ClientWrite, ...] = ()
    users: Mapping[int, LedgerUser] = field(default_factory=dict)
    #: Ordered by user and version.
    events: tuple[LedgerEvent, ...] = ()
    #: The history of Postgres in force at the end; None where the ledger knows none.
    history_number: int | None = None
    publications: tuple[Publication, ...] = ()
    replies: tuple[Reply, ...] = ()
    #: Whether `publications` and `replies` are complete.
    is_broker_complete: bool = False
    dead_letters: tuple[DeadLetter, ...] = ()
    #: In the order of their arrival.
    requests: tuple[PortalRequest, ...] = ()
    rate: Rate = Rate()
    leads: tuple[Lead, ...] = ()
    injected: InjectedFaults = InjectedFaults()
    texts: Iterable[Text] = ()
    #: Names, phones, keys, passwords, the webhook's code: no text may show them.
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Violation:
    """A broken rule, with the user or event concerned."""

    rule: str
    promise: str
    what: str
    user: int | None = None

    def __str__(self) -> str:
        whom = f" to user {self.user}" if self.user is not None else ""
        return f"{self.promise} broken{whom} ({self.rule}): {self.what}"
