"""Two hosts of Leadline on clusters of servers whose nodes fail: `make clusters MINUTES=30`.

A round: clients write at random while faults drawn from a seed happen to one node of each cluster;
then everything is repaired, and once the system is idle the checker judges. `--fault NAME` plays
this fault alone and measures the pauses that it causes.
"""

import argparse
import itertools
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.clusters import drain, network, pauses
from tests.clusters.bench import ClusterBench, ClusterWorkload
from tests.clusters.injections import FAULTS
from tests.faults import schedule
from tests.faults.lab import PromiseBroken, outcome_of, play
from tests.faults.schedule import PlannedFault

ROUND_S = 60.0
#: Mean time between two faults, and how long a cluster is left alone after a fault.
EVERY_S, REST_S = 4.0, dict.fromkeys(("rabbitmq", "redis", "postgres", "hosts"), 10.0)
#: By then the first lead has certainly been written.
_WARM_S = 3.0
#: With `--fault`: when the fault begins, how long it lasts, how long clients write afterwards.
_BEFORE_S, _LASTS_S, _AFTER_S = 8.0, 25.0, 20.0


def main() -> int:
    """Play what the options say; returns 1 at the first round that fails, after its report."""
    options = _options()
    if not network.is_enclosed():
        if obstacle := network.obstacle():
            _print(f"the clusters were not tested: {obstacle}")
            return 0
        command = network.enclosing_command("tests.clusters.lab", sys.argv[1:])
        os.execv(command[0], command)  # noqa: S606 - our own command
    folder = Path(tempfile.mkdtemp(prefix="leadline-clusters-"))
    folder.chmod(0o711)  # servers that refuse root run as a user who must get through
    bench = ClusterBench(
        folder,
        is_synchronous=not options.asynchronous,
        partition_handling=options.partition_handling,
        clocks_apart_s=options.clocks_apart,
        **(drain.ENV if options.drain else {}),
    )
    with network.inside(next(iter(bench.hosts)).name):
        try:
            begun = time.monotonic()
            bench.start()
            _print(f"started after {time.monotonic() - begun:.0f} s")
            for line in _play(bench, options):
                _print(line)
        except PromiseBroken as failure:
            _print(f"{failure}\nall logs: {folder}")
            return 1
        except Exception:
            _print(f"all logs: {folder}")
            raise
        finally:
            bench.end()
    if options.keep:
        _print(f"all logs: {folder}")
    else:
        shutil.rmtree(folder)
    return 0


def _play(bench: ClusterBench, options: argparse.Namespace) -> Iterator[str]:
    if options.drain:
        return _drain_queue(bench, options)
    return _play_single_faults(bench, options) if options.fault else _play_rounds(bench, options)


def _drain_queue(bench: ClusterBench, options: argparse.Namespace) -> Iterator[str]:
    """Drain a long queue while a node of each cluster is down."""
    yield f"killed: {', '.join(drain.lose_nodes(bench))}"
    yield str(drain.measure(bench, options.drain))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, help="10, or one round where a seed is given")
    parser.add_argument(
        "--seed", type=int, help="seed of the first round; later rounds count up from it"
    )
    parser.add_argument("--seconds", type=float, default=ROUND_S, help="how long faults happen")
    parser.add_argument(
        "--fault",
        nargs="+",
        choices=["quiet", "every", *FAULTS],
        metavar="NAME",
        help="quiet: none, every: all",
    )
    parser.add_argument("--asynchronous", action="store_true", help="the standby may lag behind")
    parser.add_argument("--drain", type=int, metavar="USERS", help="drain with nodes down")
    parser.add_argument(
        "--partition-handling",
        default="pause_minority",
        help="RabbitMQ's cluster_partition_handling",
    )
    parser.add_argument(
        "--clocks-apart",
        type=int,
        default=0,
        metavar="SECONDS",
        help="how far the clock of Postgres' second node is ahead",
    )
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    return parser.parse_args()


def _play_rounds(bench: ClusterBench, options: argparse.Namespace) -> Iterator[str]:
    is_replay = options.seed is not None and options.minutes is None
    first = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    until = time.monotonic() + (0 if is_replay else (options.minutes or 10) * 60)
    for seed in itertools.count(first):
        yield _play_round(bench, seed, draw(seed, options.seconds), options.seconds)
        if time.monotonic() > until:
            return


def draw(seed: int, seconds: float) -> list[PlannedFault]:
    """The faults of a round: of each cluster at most one node at a time."""
    return schedule.draw(seed, seconds, FAULTS, EVERY_S, REST_S)


def _play_single_faults(bench: ClusterBench, options: argparse.Namespace) -> Iterator[str]:
    """Play each of the chosen faults in its own round."""
    names = [*FAULTS] if options.fault == ["every"] else options.fault
    for seed, name in enumerate(names, options.seed or 1):
        fault = FAULTS.get(name)
        planned = (
            [PlannedFault(at_s=_BEFORE_S, seconds=_LASTS_S, fault=fault, seed=seed)]
            if fault
            else []
        )
        yield f"{name}: {_play_round(bench, seed, planned, _BEFORE_S + _LASTS_S + _AFTER_S)}"


def _play_round(bench: ClusterBench, seed: int, planned: list[PlannedFault], seconds: float) -> str:
    workload = ClusterWorkload(bench, seed)
    begun_at = time.time()
    begun_s = time.monotonic()
    evidence = play(planned, workload, seconds)
    recovery_s = time.monotonic() - begun_s - seconds
    longest = pauses.measure(evidence, workload, (begun_at + _WARM_S, begun_at + seconds))
    outcome = outcome_of(planned, evidence, recovery_s)
    return "\n".join((f"{outcome}; longest pauses: {longest}", *outcome.schedule))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
