"""The fault laboratory: `make faults MINUTES=30 SEED=1`, or python -m tests.faults.lab.

A round: clients write at random while faults happen as a seed has drawn them; then everything is
mended and left alone; at rest the promises are checked. The first round that breaks one ends it
all, with the seed, the schedule, and the story of each user concerned.
"""

import argparse
import itertools
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.faults import schedule, story
from tests.faults.bench import Bench
from tests.faults.promises import Broken, Evidence, broken
from tests.faults.rest import come_to_rest
from tests.faults.schedule import Planned
from tests.faults.workload import Workload, by_user

ROUND_S = 40.0
_TOLD_USERS = 5


class PromiseBroken(AssertionError):
    """A round has failed; the text is all that is needed to understand why."""


@dataclass(frozen=True)
class Outcome:
    """What a round has shown."""

    seed: int
    schedule: tuple[str, ...]
    attempted: int
    acknowledged: int
    unsure: int
    users: int
    failed: int
    dead: int
    rest_s: float

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {len(self.schedule)} faults; {self.attempted} writes attempted,"
            f" {self.acknowledged} acknowledged, {self.unsure} unanswered; {self.users} users,"
            f" 0 lost, 0 doubled, 0 out of date, {self.failed} recorded as failed;"
            f" {self.dead} dead letters; at rest after {self.rest_s:.0f} s"
        )


def play_round(bench: Bench, seed: int, seconds: float = ROUND_S) -> Outcome:
    """One round on a running system at rest.

    Raises:
        PromiseBroken: with seed, schedule and stories.
    """
    planned = schedule.draw(seed, seconds)
    workload = Workload(bench, seed)
    refused_before = int(bench.control("GET", "calls")["refused"])
    bench.control("PUT", "settings", {"seed": seed})
    workload.start()
    try:
        toll = schedule.play(planned, bench, seconds)
    finally:
        workload.stop()
        bench.put_right()
    toll.refusals += refused_before
    begun = time.monotonic()
    try:
        come_to_rest(bench)
        workload.speak_last()
        come_to_rest(bench)
    except AssertionError as error:
        found = [Broken("P1", str(error))]
        raise PromiseBroken(
            _report(seed, planned, found, Evidence(bench, workload, toll))
        ) from None
    evidence = Evidence(bench, workload, toll)
    found = broken(evidence)
    if found:
        raise PromiseBroken(_report(seed, planned, found, evidence))
    return _outcome(seed, planned, evidence, time.monotonic() - begun)


def _outcome(seed: int, planned: list[Planned], evidence: Evidence, rest_s: float) -> Outcome:
    writes = evidence.workload.writes
    return Outcome(
        seed=seed,
        schedule=tuple(map(str, planned)),
        attempted=len(writes),
        acknowledged=sum(write.promised is not None for write in writes),
        unsure=sum(write.is_unsure for write in writes),
        users=len(evidence.mine),
        failed=sum(evidence.users[one]["sync_status"] == "failed" for one in evidence.mine),
        dead=sum(map(len, evidence.dead.values())),
        rest_s=rest_s,
    )


def _report(seed: int, planned: list[Planned], found: list[Broken], evidence: Evidence) -> str:
    lines = [f"seed {seed} breaks a promise; `make faults SEED={seed}` plays it again", "faults:"]
    lines += [f"  {one}" for one in planned]
    lines += [str(one) for one in found]
    concerned = list(dict.fromkeys(one.user for one in found if one.user))
    concerned += [row["user_id"] for row in evidence.bench.rows(_STILL_OWED)]
    for user in list(dict.fromkeys(concerned))[:_TOLD_USERS]:
        lines += [f"--- user {user}", *_story_of(user, evidence)]
    return "\n".join(lines)


_STILL_OWED = "SELECT DISTINCT user_id FROM events WHERE due_at IS NOT NULL"


def _story_of(user: int, evidence: Evidence) -> list[str]:
    """What its clients, the ledger, the portal and the processes say of a user."""
    told = [
        f"client {_clock(write.at)} {write}" for write in by_user(evidence.workload.writes, user)
    ]
    told += [f"user   {evidence.users.get(user)}"]
    told += [f"ledger {event}" for event in evidence.events.get(user, [])]
    for lead in evidence.leads.get(user, []):
        told += [
            f"portal {_clock(write['time'])} lead {lead['ID']} {write['method']} {write['fields']}"
            for write in lead["history"]
        ]
    mark = f'"user_id":{user},'
    for name, line in story.raw_lines(evidence.bench.system):
        if mark in line.replace('": ', '":'):
            told.append(f"log    {name}: {_short(line)}")
    return told


def _short(line: str) -> str:
    try:
        entry: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    at, event = entry.pop("timestamp", ""), entry.pop("event", "")
    kept = {key: entry[key] for key in entry if key not in {"level", "correlation_id", "user_id"}}
    return f"{at} {event} {kept}"


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03}"


def main() -> int:
    """Rounds until the time is over; 1 at the first that fails, its story on standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, help="10, or one round where a seed is given")
    parser.add_argument("--seed", type=int, help="of the first round; each next one's is one more")
    parser.add_argument("--verbose", action="store_true", help="tell every round's faults")
    parser.add_argument("--seconds", type=float, default=ROUND_S, help="how long faults happen")
    chosen = parser.parse_args()
    is_replay = chosen.seed is not None and chosen.minutes is None
    first = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    until = time.monotonic() + (0 if is_replay else (chosen.minutes or 10) * 60)
    rounds = 0
    folder = Path(tempfile.mkdtemp(prefix="leadline-faults-"))
    bench = Bench(folder)
    try:
        bench.start()
        for seed in itertools.count(first):
            outcome = play_round(bench, seed, chosen.seconds)
            _say("\n".join((str(outcome), *(outcome.schedule if chosen.verbose else ()))))
            rounds += 1
            if time.monotonic() > until:
                break
    except PromiseBroken as failure:
        _say(f"{failure}\nall logs: {folder}")
        return 1
    finally:
        bench.end()
    shutil.rmtree(folder)
    _say(f"{rounds} rounds, no promise broken")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
