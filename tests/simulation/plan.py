"""The plan of a history: its writes and faults, drawn from a seed before it is played.

A plan is a list, so that a failing one can be shrunk: leaving an item out changes nothing else. Few
users, few values: a change that is reverted is the usual case. Faults are aimed at dangerous
moments: when the portal has just executed, between settling and replying, shortly before Redis
restarts.
"""

import os
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

#: User ids of a sender without versions.
FOREIGN = range(9000, 9100)
NAMES = ("Иван Иванов", "Пётр Петров", "Анна Каренина")
PHONES = ("+77001112233", "+77002223344", "+77003334455")
STAGES = ("NEW", "IN_PROCESS", "PROCESSED")


@dataclass(frozen=True, slots=True)
class Write:
    """A client's request."""

    at_s: float
    #: `foreign`: a message of a sender without versions; `poison`: one that can't be read.
    kind: Literal["create", "update", "move", "foreign", "poison"]
    #: The index of the user.
    user: int
    #: The index of the API process that serves it; of a poison message: of its queue.
    api: int = 0
    #: Indices of the values in `NAMES`, `PHONES` and `STAGES`; None: not changed. The name of a
    #: poison message: the index of its body.
    name: int | None = None
    phone: int | None = None
    stage: int | None = None
    #: Only if the user has not changed since this client last saw it.
    if_match: bool = False
    #: With an idempotency key, and repeated until it is answered.
    with_key: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure at a time, or at the n-th occurrence of a moment."""

    kind: str
    at_s: float | None = None
    moment: str = ""
    nth: int = 1
    #: How long after that moment the failure begins.
    delay_s: float = 0.0
    #: Duration or amount, depending on the kind.
    amount: float = 0.0
    #: Which process, user or form it concerns.
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """The system's configuration."""

    workers: int
    #: Processes of bitrix_handler and of reply_handler.
    intakes: int
    repliers: int
    #: The portal's burst, in requests.
    burst: int
    #: Another installation has leads in the same portal.
    has_neighbours: bool
    #: How long after the last write faults still happen.
    calm_after_s: float
    #: The portal's request limit per second.
    rate_per_s: float = 2.0
    #: The offsets of the clocks of Redis, of Postgres and of the processes.
    redis_ahead_s: float = 0.0
    postgres_ahead_s: float = 0.0
    processes_ahead_s: tuple[float, ...] = (0.0,)


@dataclass(frozen=True, slots=True)
class Plan:
    """A history before it is played."""

    seed: int
    shape: Shape
    items: tuple[Write | Fault, ...]

    @property
    def writes(self) -> list[Write]:
        """The writes, in order of time."""
        writes = [item for item in self.items if isinstance(item, Write)]
        return sorted(writes, key=lambda write: write.at_s)

    @property
    def faults(self) -> list[Fault]:
        """The faults, in the order in which they were drawn."""
        return [item for item in self.items if isinstance(item, Fault)]


#: Dangerous moments of processes, and their weights.
WORKER_MOMENTS = (
    ("portal did update", 6),
    ("portal did add", 4),
    ("portal did list", 1),
    ("redis lease done", 2),
    ("redis settle asked", 3),
    ("redis settle done", 4),
    ("publish bitrix.responses asked", 1),
    ("publish bitrix.responses done", 3),
    ("portal sent", 1),
    ("portal connects", 2),
    ("redis take done", 1),
    ("redis claim done", 1),
)
OTHER_MOMENTS = (
    ("redis put asked", 1),
    ("redis put done", 3),
    ("sql settle asked", 1),
    ("sql settle done", 3),
    ("ack bitrix_queue asked", 2),
    ("ack bitrix.responses asked", 2),
    ("publish bitrix_queue asked", 2),
    ("publish bitrix_queue done", 3),
    ("sql claim done", 2),
    ("sql mark done", 1),
    ("sql create done", 1),
    ("sql create_once done", 1),
    ("sql change_skip_locked done", 1),
)
#: Failures of a request to the portal, and their weights.
PORTAL_TROUBLES = (
    ("lost answer", 4),
    ("no answer", 2),
    ("not arrived", 2),
    ("late", 4),
    ("late and cut", 3),
    ("5xx run", 2),
    ("5xx unrun", 1),
    ("damaged", 2),
    ("cut off", 1),
    ("slow connect", 1),
    ("tls broke", 2),
    ("dripping", 1),
    ("refused", 2),
    ("refused connection", 2),
    ("slow way", 1),
    ("command error", 4),
    ("malformed", 3),
    ("silent", 1),
    ("long error", 1),
    ("request rejected", 2),
)
#: Kinds of faults, and their weights; `portal` is one of `PORTAL_TROUBLES`.
FAULTS = (
    ("portal", 10),
    ("kill worker", 8),
    ("freeze worker", 3),
    ("suspend worker", 2),
    ("kill other", 4),
    ("freeze other", 2),
    ("redis loses", 7),
    ("redis flushed", 3),
    ("redis restarted", 2),
    ("redis switched over", 3),
    ("redis away", 4),
    ("redis entry damaged", 1),
    ("postgres away", 3),
    ("postgres forked", 3),
    ("rows locked", 2),
    ("broker away", 2),
    ("broker forgets", 2),
    ("confirm lost", 3),
    ("deliveries shuffled", 2),
    ("stage by hand", 2),
    ("name by hand", 1),
    ("lead deleted", 2),
    ("portal down", 1),
)
#: Kinds of faults to leave out of drawn plans, comma-separated: to find others.
WITHOUT = "LEADLINE_SIMULATE_WITHOUT"


def draw(seed: int) -> Plan:
    """The plan of this seed."""
    random = Random(f"plan/{seed}")  # noqa: S311 - reproducible from its seed
    writes = _writes(random)
    last_s = max(write.at_s for write in writes)
    count = random.choices((0, 1, 2, 3, 4), (1, 10, 8, 4, 2))[0]
    faults = [_fault(random, last_s) for _ in range(count)]
    if random.random() < 0.3:
        faults += _pair(random)
    shape = _shape(random)
    return Plan(seed, shape, tuple(without_excluded([*writes, *faults])))


def without_excluded(items: list[Write | Fault]) -> list[Write | Fault]:
    """The items without the excluded kinds of faults."""
    without = os.environ.get(WITHOUT, "").split(",")
    return [item for item in items if item.kind not in without]


def _shape(random: Random) -> Shape:
    shape = Shape(
        workers=random.choice((1, 2, 2, 3)),
        intakes=random.choice((1, 2)),
        repliers=random.choice((1, 2)),
        burst=random.choice((5, 8, 50)),
        has_neighbours=random.random() < 0.1,
        calm_after_s=random.choice((3.0, 20.0, 100.0)),
    )
    if random.random() < 0.5:
        return shape
    return replace(
        shape,
        redis_ahead_s=random.uniform(-5, 5),
        postgres_ahead_s=random.uniform(-5, 5),
        processes_ahead_s=tuple(random.uniform(-5, 5) for _ in range(5)),
    )


def _gap(random: Random) -> float:
    """The time between one write and the next."""
    kind = random.choices(("race", "soon", "after", "later", "much later"), (2, 3, 6, 3, 1))[0]
    return {
        "race": 0.0,
        "soon": random.uniform(0.01, 0.4),
        "after": random.uniform(0.4, 4),
        "later": random.uniform(4, 30),
        "much later": random.uniform(60, 110),
    }[kind]


def _writes(random: Random) -> list[Write]:
    writes: list[Write] = []
    users = random.choices((1, 2, 3, 4), (10, 5, 2, 1))[0]
    for user in range(users):
        at_s = 0.0 if user == 0 else random.choice((0.0, random.uniform(0, 5)))
        is_foreign = random.random() < 0.08
        kind: Literal["create", "foreign"] = "foreign" if is_foreign else "create"
        states = [(random.randrange(2), random.randrange(2), random.randrange(2))]
        name, phone, stage = states[0]
        with_key = random.random() < 0.3
        writes.append(
            Write(
                at_s,
                kind,
                user,
                api=random.randrange(2),
                name=name,
                phone=phone,
                stage=stage,
                with_key=with_key,
            )
        )
        for _ in range(random.choices((1, 2, 3, 4, 5), (3, 6, 5, 2, 1))[0]):
            at_s += _gap(random)
            writes.append(_change(random, at_s, user, states, is_foreign=is_foreign))
    if random.random() < 0.04:
        writes.append(_poison(random))
    return writes


def _poison(random: Random) -> Write:
    """A message that can't be read: `api` selects its queue, `name` its body."""
    at_s = random.uniform(0, 5)
    choice = random.randrange(8)
    return Write(at_s, "poison", user=0, api=choice, name=choice)


def _change(
    random: Random, at_s: float, user: int, states: list[tuple[int, int, int]], *, is_foreign: bool
) -> Write:
    """The next write of a user, which often reverts the last one."""
    before = states[-1]
    name, phone, stage = before
    if len(states) > 1 and random.random() < 0.6:
        name, phone, stage = states[-2]
    else:
        what = random.choices(("name", "phone", "stage", "two"), (4, 4, 3, 2))[0]
        if what in {"name", "two"}:
            name = (name + 1) % 2
        if what in {"phone", "two"}:
            phone = (phone + 1) % 2
        if what == "stage":
            stage = (stage + 1) % 2
    states.append((name, phone, stage))
    if is_foreign:
        return Write(at_s, "foreign", user, name=name, phone=phone, stage=stage)
    if_match = random.random() < 0.2
    api = random.randrange(2)
    if (name, phone) == before[:2]:
        return Write(at_s, "move", user, api=api, stage=stage, if_match=if_match)
    return Write(
        at_s,
        "update",
        user,
        api=api,
        name=name if name != before[0] else None,
        phone=phone if phone != before[1] else None,
        stage=stage if stage != before[2] else None,
        if_match=if_match,
        with_key=random.random() < 0.1,
    )


def _fault(random: Random, last_s: float) -> Fault:
    kind = _weighted(random, FAULTS)
    if kind == "portal":
        return _trouble(random)
    if kind in _AT_TIMES:
        return Fault(
            kind,
            at_s=random.uniform(0.3, last_s + 3),
            amount=random.uniform(1, 40),
            choice=random.randrange(12),
        )
    duration_s = random.choice(
        (random.uniform(0.2, 3), random.uniform(3, 12), random.uniform(60, 110))
    )
    if kind.endswith("away"):
        duration_s = min(duration_s, 15.0)
    if kind in _LOSES_S:
        duration_s = random.uniform(*_LOSES_S[kind])
    delay_s = 0.0
    if kind.startswith(("redis", "postgres")):
        delay_s = random.choice((0.0, 0.0, random.uniform(0, 0.8), random.uniform(0, 3)))
    moments = next(moments for begins, moments in _MOMENTS_OF_KINDS if kind.startswith(begins))
    return _at_moment(random, kind, moments, duration_s, delay_s)


#: Faults at a time, independent of any moment.
_AT_TIMES = {"stage by hand", "name by hand", "lead deleted", "portal down"}
#: How many seconds of data each kind of fault may lose.
_LOSES_S = {
    "redis loses": (0.2, 1.2),
    "redis switched over": (0.2, 1.2),
    "postgres forked": (0.1, 1.5),
}
#: The moments at which faults are dangerous, by the beginnings of their kinds.
_MOMENTS_OF_KINDS: tuple[tuple[tuple[str, ...], tuple[tuple[str, int], ...]], ...] = (
    (("kill worker", "freeze worker", "suspend worker"), WORKER_MOMENTS),
    (("redis",), (*WORKER_MOMENTS, ("redis put done", 3), ("redis put asked", 1))),
    (("broker forgets", "confirm", "deliveries"), (*OTHER_MOMENTS, *WORKER_MOMENTS)),
    (("kill other", "freeze other", "postgres", "broker away"), OTHER_MOMENTS),
    (
        ("rows locked",),
        (("sql mark asked", 2), ("sql claim asked", 2), ("sql change_skip_locked asked", 3)),
    ),
)


def _pair(random: Random) -> list[Fault]:
    """A call with an unknown outcome, and at the same moment the loss of its record."""
    nth = random.choices((1, 2, 3, 4), (6, 6, 3, 1))[0]
    trouble = random.choice(("late", "late and cut", "lost answer", "no answer", "late"))
    call = Fault(f"portal: {trouble}", nth=nth, amount=_amount(random, trouble))
    kind = random.choice(
        ("kill worker", "redis loses", "redis loses", "redis flushed", "redis switched over")
    )
    delay_s = 0.0 if kind == "kill worker" else random.choice((0.0, random.uniform(0, 0.9)))
    choice = random.randrange(12)
    loss = Fault(
        kind,
        moment="portal sent",
        nth=nth,
        delay_s=delay_s,
        amount=random.uniform(0.2, 1.2),
        choice=choice,
    )
    if random.random() < 0.75:
        return [call, loss]
    # A delayed message: later messages are served before it.
    moment = random.choice(("redis put asked", "redis put asked", "publish bitrix_queue asked"))
    held_s = random.uniform(0.2, 8)
    return [call, loss, Fault("freeze other", moment=moment, amount=held_s)]


def _weighted(random: Random, choices: tuple[tuple[str, int], ...]) -> str:
    """One of these choices, by their weights."""
    names, weights = zip(*choices, strict=True)
    chosen: str = random.choices(names, weights)[0]
    return chosen


def _trouble(random: Random) -> Fault:
    trouble = _weighted(random, PORTAL_TROUBLES)
    nth = random.choices((1, 2, 3, 4, 5, 6), (5, 6, 5, 3, 2, 1))[0]
    return Fault(f"portal: {trouble}", nth=nth, amount=_amount(random, trouble))


def _at_moment(
    random: Random,
    kind: str,
    moments: tuple[tuple[str, int], ...],
    amount: float,
    delay_s: float,
) -> Fault:
    moment = _weighted(random, moments)
    nth = random.choices((1, 2, 3, 4, 5), (6, 5, 3, 2, 1))[0]
    return Fault(
        kind, moment=moment, nth=nth, delay_s=delay_s, amount=amount, choice=random.randrange(12)
    )


def _amount(random: Random, trouble: str) -> float:
    """The delay, duration or form of a trouble."""
    if trouble in {"late", "late and cut", "dripping"}:
        return random.choice((random.uniform(0.5, 8), random.uniform(8, 60)))
    if trouble == "slow connect":
        return random.uniform(0.5, 4)
    if trouble == "slow way":
        return random.uniform(0.1, 1.5)
    if trouble == "long error":
        return random.choice((0.0, 900.0, 1100.0, 30_000.0, 100_000.0))
    return float(random.randrange(12))
