"""The scale of a run: FULL for the record, QUICK to see that everything works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The sizes of one run."""

    name: str
    #: Interleaved repeats of each measurement.
    repeats: int
    #: Seconds of each load, and of the warm-up load before it, which is not counted.
    load_s: int
    warm_up_s: int
    connections: tuple[int, ...]
    #: Users in the tables while single functions are loaded.
    users: int
    #: Users followed one by one on an idle system.
    idle_posts: int
    #: Users drained at the limits first, and the users then followed one by one.
    latency_drain_users: int
    after_drain_posts: int
    #: Seconds of steady arrivals at each rate.
    steady_s: int
    #: Idle seconds before the footprint is measured, and while it is measured.
    idle_before_s: int
    idle_s: int
    #: Users that wait when the section `drain` begins, and users of one burst.
    drain_users: int
    burst_users: int
    #: Bare RQ jobs, and messages in each queue, of the section `queues`.
    rq_jobs: int
    messages: int
    #: Counted starts of each function and of a worker.
    cold_starts: int
    #: Users in the tables, from the smallest to the largest database.
    growth_users: tuple[int, ...]
    #: Events that wait at once.
    backlog: int


FULL = Scale(
    name="full",
    repeats=5,
    load_s=5,
    warm_up_s=1,
    connections=(1, 16, 64),
    users=10_000,
    idle_posts=100,
    latency_drain_users=5_000,
    after_drain_posts=20,
    steady_s=60,
    idle_before_s=15,
    idle_s=60,
    drain_users=10_000,
    burst_users=2_000,
    rq_jobs=2_000,
    messages=10_000,
    cold_starts=11,
    growth_users=(10_000, 1_000_000, 10_000_000),
    backlog=100_000,
)

QUICK = Scale(
    name="quick",
    repeats=2,
    load_s=1,
    warm_up_s=1,
    connections=(1, 16),
    users=1_000,
    idle_posts=10,
    latency_drain_users=300,
    after_drain_posts=5,
    steady_s=5,
    idle_before_s=2,
    idle_s=5,
    drain_users=3_000,
    burst_users=300,
    rq_jobs=200,
    messages=500,
    cold_starts=2,
    growth_users=(1_000, 20_000),
    backlog=2_000,
)
