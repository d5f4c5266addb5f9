"""The fault laboratory: `make faults MINUTES=30 SEED=1`, or python -m tests.faults.lab.

A round: clients write at random while faults drawn from a seed happen; then everything is repaired,
and once the system is idle the promises are checked. The first round that breaks one ends the run
with the seed, the schedule, and the log of each user concerned.
"""

import argparse
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.checker.check import check
from tests.checker.history import ClientWrite, Lead, Violation
from tests.faults import schedule, system_logs
from tests.faults.bench import Bench
from tests.faults.evidence import Beginning, Evidence
from tests.faults.idle import await_idle
from tests.faults.schedule import PlannedFault
from tests.faults.workload import Workload

ROUND_S = 40.0
#: How many of the users concerned a report shows.
_SHOWN_USERS = 5
#: How many rounds share a bench with its clocks, since a bench takes a while to start.
_SAME_CLOCK = 8


class PromiseBroken(AssertionError):
    """A round has failed; the text says what is needed to understand why."""


@dataclass(frozen=True)
class Outcome:
    """The figures of a round in which every promise was kept."""

    seed: int
    schedule: tuple[str, ...]
    attempted: int
    acknowledged: int
    unsure: int
    users: int
    failed: int
    dead: int
    idle_after_s: float

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {len(self.schedule)} faults; {self.attempted} writes attempted,"
            f" {self.acknowledged} acknowledged, {self.unsure} unanswered; {self.users} users,"
            f" 0 lost, 0 doubled, 0 out of date, {self.failed} recorded as failed;"
            f" {self.dead} dead letters; idle after {self.idle_after_s:.0f} s"
        )


def play_round(bench: Bench, seed: int, seconds: float = ROUND_S) -> Outcome:
    """One round on a running, idle system.

    Raises:
        PromiseBroken: with seed, schedule and logs.
    """
    began = time.monotonic()
    planned = schedule.draw(seed, seconds)
    evidence = play(planned, Workload(bench, seed), seconds)
    return outcome_of(planned, evidence, time.monotonic() - began - seconds)


def play(planned: list[PlannedFault], workload: Workload, seconds: float) -> Evidence:
    """Play these faults on a running, idle system; returns the evidence if all promises are kept.

    Raises:
        PromiseBroken: with seed, schedule and logs.
    """
    bench, seed = workload.bench, workload.seed
    beginning = Beginning.now(bench)
    bench.control("PUT", "settings", {"seed": seed})
    workload.start()
    try:
        consequences = schedule.play(planned, bench, seconds, workload)
    finally:
        workload.stop()
        bench.repair()
    try:
        await_idle(bench)
        workload.write_last()
        await_idle(bench)
    except AssertionError as error:
        evidence = Evidence(bench, workload, consequences, beginning)
        found = [Violation("idle", "P1", str(error)), *check(evidence.history)]
        raise PromiseBroken(_report(seed, planned, found, evidence)) from None
    evidence = Evidence(bench, workload, consequences, beginning)
    found = check(evidence.history)
    if found:
        raise PromiseBroken(_report(seed, planned, found, evidence))
    return evidence


def outcome_of(planned: list[PlannedFault], evidence: Evidence, idle_after_s: float) -> Outcome:
    """Figures of a round in which no promise was broken."""
    writes = evidence.workload.writes
    return Outcome(
        seed=evidence.workload.seed,
        schedule=tuple(map(str, planned)),
        attempted=len(writes),
        acknowledged=sum(write.is_acknowledged for write in writes),
        unsure=sum(write.is_unsure for write in writes),
        users=len(evidence.users),
        failed=sum(row["sync_status"] == "failed" for row in evidence.users.values()),
        dead=sum(map(len, evidence.dead.values())),
        idle_after_s=idle_after_s,
    )


def _report(
    seed: int, planned: list[PlannedFault], found: list[Violation], evidence: Evidence
) -> str:
    command = evidence.bench.command.format(seed)
    lines = [f"seed {seed} breaks a promise; `{command}` plays it again", "faults:"]
    lines += [f"  {fault}" for fault in planned]
    lines += [str(violation) for violation in found]
    concerned = list(dict.fromkeys(violation.user for violation in found if violation.user))
    concerned += [row["user_id"] for row in evidence.bench.rows(_STILL_DUE)]
    for user in list(dict.fromkeys(concerned))[:_SHOWN_USERS]:
        lines += [f"--- user {user}", *_records_of(user, evidence)]
    return "\n".join(lines)


_STILL_DUE = "SELECT DISTINCT user_id FROM events WHERE due_at IS NOT NULL"


def _records_of(user: int, evidence: Evidence) -> list[str]:
    """All that clients, ledger, portal and processes recorded about a user."""
    history = evidence.history
    lines = [
        f"client {_clock(write.at)} {_request_text(write)}"
        for write in history.writes
        if write.user == user
    ]
    lines += [f"user   {evidence.users.get(user)}"]
    lines += [f"ledger {event}" for event in evidence.events if event["user_id"] == user]
    lines += [
        f"reply  {_clock(reply.at)} {reply.event_id} {reply.outcome}, attempts {reply.attempts}"
        for reply in history.replies
        if reply.user == user
    ]
    for lead in history.leads:
        if lead.user == user:
            lines += [_lead_line(lead), *_write_lines(lead)]
    mark = f'"user_id":{user},'
    for system in evidence.bench.systems:
        lines += [
            f"log    {name}: {_short(line)}"
            for name, line in system_logs.raw_lines(system)
            if mark in line.replace('": ', '":')
        ]
    return lines


def _request_text(write: ClientWrite) -> str:
    sent = {**write.changes, **({"If-Match": write.if_match} if write.if_match else {})}
    return f"{write.action} {sent} key={write.key} → {write.status}, version {write.version}"


def _lead_line(lead: Lead) -> str:
    if lead.is_deleted:
        return f"portal lead {lead.id} is deleted"
    return f"portal lead {lead.id} {lead.title} {lead.phones} {lead.stage}"


def _write_lines(lead: Lead) -> list[str]:
    return [
        f"portal {_clock(write.at)} lead {lead.id} {write.kind} by {write.by} {dict(write.fields)}"
        for write in lead.writes
    ]


def _short(line: str) -> str:
    try:
        entry: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    at, event = entry.pop("timestamp", ""), entry.pop("event", "")
    values = {key: entry[key] for key in entry if key not in {"level", "correlation_id", "user_id"}}
    return f"{at} {event} {values}"


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03}"


def main() -> int:
    """Play rounds until the time is over; returns 1 if one failed, and prints its log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, help="10, or one round where a seed is given")
    parser.add_argument(
        "--seed", type=int, help="seed of the first round; later rounds count up from it"
    )
    parser.add_argument("--verbose", action="store_true", help="print every round's faults")
    parser.add_argument("--seconds", type=float, default=ROUND_S, help="how long faults happen")
    options = parser.parse_args()
    is_replay = options.seed is not None and options.minutes is None
    first = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    until = time.monotonic() + (0 if is_replay else (options.minutes or 10) * 60)
    rounds = 0
    folder = Path(tempfile.mkdtemp(prefix="leadline-faults-"))
    try:
        for outcome in _rounds(folder, first, options.seconds, until):
            _print("\n".join((str(outcome), *(outcome.schedule if options.verbose else ()))))
            rounds += 1
    except PromiseBroken as failure:
        _print(f"{failure}\nall logs: {folder}")
        return 1
    shutil.rmtree(folder)
    _print(f"{rounds} rounds, no promise broken")
    return 0


def _rounds(folder: Path, first: int, seconds: float, until: float) -> Iterator[Outcome]:
    """Play rounds until the time is over, a few on each bench."""
    seeds = itertools.count(first)
    for skew_s, group in itertools.groupby(seeds, skew_of):
        round_folder = folder / f"clock {skew_s:+}"
        shutil.rmtree(round_folder, ignore_errors=True)
        round_folder.mkdir()
        bench = Bench(round_folder, skew_s)
        try:
            bench.start()
            for seed in group:
                yield play_round(bench, seed, seconds)
                if time.monotonic() > until:
                    return
        finally:
            bench.end()


def skew_of(seed: int) -> int:
    """How many seconds Postgres' clock is ahead of the others; the same for a bench's rounds."""
    return (0, 5, -5)[seed // _SAME_CLOCK % 3]


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
