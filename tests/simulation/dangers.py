"""Histories built around two dangerous events, for a small share of the seeds.

Random plans seldom bring two rare things to the same moment. Here one write or fault is aimed at
another one; duration, distance and form are drawn from the seed.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Literal

from tests.simulation import plan
from tests.simulation.plan import Fault, Plan, Shape, Write

#: One seed in this many is such a history.
EVERY = 10
#: Longer than a lease lasts, so that another worker serves the user in between.
LONGER_THAN_A_LEASE_S = (82.0, 110.0)
#: Between a worker's lease and the first byte of its request.
BEFORE_THE_CALL = ("redis lease done", "redis reserve asked", "redis reserve done")

_Items = list[Write | Fault]


def draw(seed: int) -> Plan:
    """The plan of this seed."""
    if seed % EVERY:
        return plan.draw(seed)
    random = Random(f"danger/{seed}")  # noqa: S311 - reproducible from its seed
    build = _DANGERS[seed // EVERY % len(_DANGERS)]
    shape, items = build(random)
    return Plan(seed, shape, tuple(plan.without_excluded(items)))


def _shape(random: Random, *, workers: int = 2, burst: int = 50, calm_s: float = 20.0) -> Shape:
    return Shape(
        workers=workers,
        intakes=random.choice((1, 2)),
        repliers=random.choice((1, 2)),
        burst=burst,
        has_neighbours=False,
        calm_after_s=calm_s,
    )


def _create(user: int, at_s: float, kind: Literal["create", "foreign"] = "create") -> Write:
    return Write(at_s, kind, user, name=0, phone=user % 3, stage=0)


def _stale_precondition(random: Random) -> tuple[Shape, _Items]:
    """A stale precondition in one statement with another write of the same user.

    The first write keeps the statement busy that the next ones then share; its answer is still
    missing when their clients state the version that they last saw.
    """
    items: _Items = [_create(0, 0.0)]
    at_s = 0.0
    for turn in range(3):
        at_s += random.uniform(1, 3)
        items.append(Write(at_s, "update", user=0, name=1 - turn % 2))
        for phone, if_match in enumerate(random.sample((True, False), 2), start=1):
            later_s = at_s + random.uniform(0.0, 0.002)
            items.append(Write(later_s, "update", user=0, phone=phone, if_match=if_match))
    return _shape(random), items


def _worker_pauses(random: Random) -> tuple[Shape, _Items]:
    """A worker pauses between its lease and its call, for longer than the lease lasts."""
    kind = random.choice(("freeze worker", "suspend worker"))
    moment = random.choice((*BEFORE_THE_CALL, "portal connects"))
    seconds = random.uniform(*LONGER_THAN_A_LEASE_S)
    items: _Items = [_create(0, 0.0), Fault(kind, moment=moment, amount=seconds)]
    if random.random() < 0.7:
        items.append(Write(random.uniform(0.5, 60), "update", user=0, name=1))
    return _shape(random, calm_s=100.0), items


def _lease_is_lost(random: Random) -> tuple[Shape, _Items]:
    """A worker pauses before it settles; meanwhile another one has leased the user."""
    seconds = random.uniform(*LONGER_THAN_A_LEASE_S)
    items: _Items = [
        _create(0, 0.0),
        Fault(
            "freeze worker",
            moment="redis settle asked",
            nth=random.choice((1, 2)),
            amount=seconds,
        ),
        Write(random.uniform(1, 60), "update", user=0, name=1),
    ]
    for name in (2, 0):
        items.append(Write(seconds + random.uniform(-0.3, 0.3), "update", user=0, name=name))
        late = Fault("portal: late", nth=random.randrange(3, 6), amount=random.uniform(0.5, 5))
        items.append(late)
    return _shape(random, calm_s=30.0), items


def _bucket_is_forgotten(random: Random) -> tuple[Shape, _Items]:
    """Redis forgets requests that the portal still counts, and new users come as soon as allowed.

    Users of the first ten seconds after a loss wait; so the portal must forget slowly.
    """
    items: _Items = []
    at_s = 0.0
    for user in range(12):
        items.append(_create(user, at_s))
        at_s += random.uniform(0.26, 0.32)
    items.append(Fault("redis flushed", at_s=at_s))
    at_s += random.uniform(10.1, 11.0)
    for user in range(12, 26):
        items.append(_create(user, at_s))
        at_s += random.uniform(0.26, 0.32)
    return replace(_shape(random, workers=3, burst=10, calm_s=3.0), rate_per_s=0.2), items


def _reply_does_not_arrive(random: Random) -> tuple[Shape, _Items]:
    """A reply does not reach the broker, and the sender of the event does not repeat it."""
    items: _Items = [_create(0, 0.0, kind="foreign")]
    seconds = random.uniform(0.2, 15)
    items.append(Fault("broker away", moment="publish nest.responses asked", amount=seconds))
    return _shape(random), items


def _first_message_is_held_up(random: Random) -> tuple[Shape, _Items]:
    """Redis forgets a running create, and the same user's first message arrives only after that.

    By the clocks of Postgres and of our processes it may have been written and sent after the loss.
    """
    held_s = random.uniform(1.0, 3.0)
    items: _Items = [
        _create(0, 0.0),
        Write(random.uniform(0.1, 0.3), "update", user=0, name=1),
        Fault("freeze other", moment="redis put asked", amount=held_s),
        Fault("portal: late", nth=2, amount=random.uniform(5, 40)),
        Fault("redis flushed", moment="portal sent", nth=2, delay_s=random.uniform(0.0, 0.5)),
    ]
    ahead_s = random.choice((0.0, random.uniform(3, 5)))
    shape = replace(_shape(random), postgres_ahead_s=ahead_s, processes_ahead_s=(ahead_s,))
    return replace(shape, intakes=2), items


def _copy_is_held_up(random: Random) -> tuple[Shape, _Items]:
    """Redis forgets a settled user, and a copy of its first message arrives only after that.

    By the clocks of Postgres and of our processes it was written and sent after the loss.
    """
    lost_at_s = random.uniform(1.0, 4.0)
    items: _Items = [
        _create(0, 0.0),
        Fault(
            "freeze other",
            moment="redis put asked",
            amount=lost_at_s + random.uniform(0.1, 1),
        ),
        Fault(
            "broker away",
            moment="redis put asked",
            delay_s=0.01,
            amount=random.uniform(0.05, 0.2),
        ),
        Write(random.uniform(0.3, 0.8), "update", user=0, name=1),
        Fault("redis flushed", at_s=lost_at_s),
    ]
    ahead_s = random.uniform(3, 5)
    shape = replace(_shape(random), postgres_ahead_s=ahead_s, processes_ahead_s=(ahead_s,))
    return replace(shape, intakes=3), items


def _batch_is_rejected(random: Random) -> tuple[Shape, _Items]:
    """A request for several users is rejected as a whole because of one of them."""
    items: _Items = [_create(user, 0.0) for user in range(random.randrange(2, 6))]
    items += [Write(random.uniform(1, 10), "update", user=user, name=1) for user in range(2)]
    for nth in random.sample(range(1, 6), 3):
        items.append(Fault("portal: request rejected", nth=nth, amount=random.randrange(3)))
    return _shape(random), items


def _entry_is_damaged(random: Random) -> tuple[Shape, _Items]:
    """The entry of a user becomes unreadable while its create runs; then a change follows."""
    late_s = random.uniform(20, 40)
    items: _Items = [
        _create(0, 0.0),
        Fault("portal: late and cut", nth=1, amount=late_s),
        Fault(
            "redis entry damaged",
            at_s=late_s / 2 + random.uniform(0.2, 1),
            choice=random.randrange(12),
        ),
        Write(random.uniform(late_s / 2 + 2, late_s), "update", user=0, name=1),
    ]
    return _shape(random), items


_DANGERS: tuple[Callable[[Random], tuple[Shape, _Items]], ...] = (
    _stale_precondition,
    _worker_pauses,
    _lease_is_lost,
    _bucket_is_forgotten,
    _reply_does_not_arrive,
    _first_message_is_held_up,
    _copy_is_held_up,
    _batch_is_rejected,
    _entry_is_damaged,
)
