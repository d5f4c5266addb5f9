"""The schedule of a round's faults; the same seed gives the same schedule."""

import random
import time
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import redis
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from tests.faults.bench import Bench
from tests.faults.injections import FAULTS, IN_THE_WAY, Consequences, Fault, Scene
from tests.faults.workload import Workload

#: Mean time between two faults.
EVERY_S = 1.6
#: How long a target is left alone after a fault of its own, others than these for a second: a
#: broker needs that long to recover.
REST_S = {"rabbitmq": 12.0, "postgres": 4.0}
#: How long delayed data of a fault may keep arriving.
_AFTERMATH_S = 1.0


@dataclass
class PlannedFault:
    """One planned fault and its result."""

    at_s: float
    seconds: float
    fault: Fault
    seed: int
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        duration = f" for {self.seconds:.1f} s" if self.seconds else ""
        notes = f" ({'; '.join(self.notes)})" if self.notes else ""
        return f"{self.at_s:6.1f} s  {self.fault.name}{duration}{notes}"


def draw(
    seed: int,
    seconds: float,
    faults: Mapping[str, Fault] = FAULTS,
    every_s: float = EVERY_S,
    rest_s: Mapping[str, float] = REST_S,
) -> list[PlannedFault]:
    """The faults of a round; they may overlap, except for those of one target."""
    dice = random.Random(seed)  # noqa: S311 - a game, no secret
    # A fault that lasts longer than the round at the least is left out.
    kinds = [fault for fault in faults.values() if fault.seconds[0] < seconds]
    weights = [kind.weight for kind in kinds]
    free_at: dict[str, float] = defaultdict(float)
    planned: list[PlannedFault] = []
    at_s = dice.uniform(0.5, 2)
    while at_s < seconds:
        (kind,) = dice.choices(kinds, weights)
        lasts_s = dice.uniform(*kind.seconds)
        fault_seed = dice.randrange(2**32)
        if at_s >= free_at[kind.target] or not kind.target:
            planned.append(PlannedFault(at_s, lasts_s, kind, fault_seed))
            free_at[kind.target] = at_s + lasts_s + rest_s.get(kind.target, 1.0)
        at_s += dice.expovariate(1 / every_s)
    return planned


def play(
    planned: list[PlannedFault], bench: Bench, seconds: float, workload: Workload
) -> Consequences:
    """Run the schedule; returns when the round's time is over and every fault has been repaired."""
    consequences = Consequences()
    began = time.monotonic()
    with ThreadPoolExecutor(len(planned) + 1) as pool:
        running = []
        for fault in planned:
            time.sleep(max(0.0, began + fault.at_s - time.monotonic()))
            running.append(pool.submit(_run_fault, fault, bench, consequences, workload))
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        for running_fault in running:
            running_fault.result()
    return consequences


def _run_fault(
    planned: PlannedFault, bench: Bench, consequences: Consequences, workload: Workload
) -> None:
    """Break, wait and repair; then record the time that the fault excuses.

    A fault that another one has made impossible ends with a note.
    """
    dice = random.Random(planned.seed)  # noqa: S311 - a game, no secret
    steps = planned.fault.inject(Scene(bench, dice, consequences, workload))
    began = time.time()
    try:
        next(steps, None)  # breaks
        time.sleep(planned.seconds)
        next(steps, None)  # repairs
    except (*IN_THE_WAY, redis.RedisError, AMQPConnectorException) as error:
        planned.notes.append(type(error).__name__)
    window = began, time.time() + _AFTERMATH_S
    if planned.fault.excuse in {"loss", "both"}:
        consequences.losses.append(window)
    if planned.fault.excuse in {"blur", "both"}:
        consequences.blurs.append(window)
