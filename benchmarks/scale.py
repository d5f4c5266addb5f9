"""The scale of a run: full for the record, quick to see that everything works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The sizes of one run."""

    name: str
    #: Interleaved repeats of each measurement.
    repeats: int
    #: Seconds of load in a block, and of uncounted load before it.
    load_s: int
    warm_up_s: int
    connections: tuple[int, ...]
    #: Users in the tables while single functions are loaded.
    users: int
    idle_posts: int
    drain_users: int
    burst_users: int
    rq_jobs: int
    messages: int
    cold_starts: int
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
    drain_users=3_000,
    burst_users=300,
    rq_jobs=200,
    messages=500,
    cold_starts=2,
    growth_users=(1_000, 20_000),
    backlog=2_000,
)
