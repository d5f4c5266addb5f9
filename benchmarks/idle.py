"""Latency from a POST to the lead on an idle system."""

import random
import time
from pathlib import Path
from typing import Any

import requests

from benchmarks import ledger, tables
from benchmarks.figures import percentile, table
from benchmarks.laboratory import BenchSystem, whole_system
from benchmarks.scale import Scale
from benchmarks.sections import Chapter, Data, Expectation, Section

MEDIAN_MS = 60
_POLL_EVERY_S = 0.001
#: At two requests a second the bucket refills between users; random, so that it does not align
#: with a schedule of the system.
_PAUSE_S = (0.6, 1.2)
_WITHIN_S = 30

_SETTLED_MS = """
SELECT EXTRACT(epoch FROM settled_at - occurred_at) * 1000 FROM events
WHERE occurred_at >= to_timestamp(:since)
"""


def measure(scale: Scale, folder: Path) -> Data:
    """One POST after the other, each followed until the portal has the lead."""
    with whole_system(folder) as system:
        database = system.url("database")
        _to_lead(system)  # connections open at first use
        ledger.await_settled(database, 0, _WITHIN_S)
        since = ledger.now(database)
        found = []
        for _ in range(scale.idle_posts):
            time.sleep(random.uniform(*_PAUSE_S))  # noqa: S311 - no secret
            found.append(_to_lead(system))
        ledger.await_settled(database, since, _WITHIN_S)
        settled = [float(ms) for [ms] in tables.rows(database, _SETTLED_MS, since=since)]
    return {
        "answer_ms": [answer for answer, _ in found],
        "lead_ms": [lead for _, lead in found],
        "settled_ms": settled,
    }


def _to_lead(system: BenchSystem) -> tuple[float, float]:
    """Milliseconds from sending a POST to its answer, and to the lead in the portal."""
    before = _leads(system)
    started = time.perf_counter()
    answer = system.http.post(
        f"{system.function('create-user')}/users",
        json={"full_name": "Иван Иванов", "phone": "+77001112233"},
        headers={"Authorization": f"Bearer {system.key}"},
        timeout=_WITHIN_S,
    )
    answered = time.perf_counter()
    answer.raise_for_status()
    while _leads(system) == before:
        if time.perf_counter() - started > _WITHIN_S:
            raise requests.Timeout("no lead")
        time.sleep(_POLL_EVERY_S)
    return (answered - started) * 1000, (time.perf_counter() - started) * 1000


def _leads(system: BenchSystem) -> int:
    totals: Any = system.control("GET", "totals")
    return int(totals["leads"])


def render(data: Data) -> Chapter:
    """Median, 95th percentile and the slowest."""
    names = {
        "answer_ms": "POST to its answer",
        "lead_ms": "POST to the lead in the portal",
        "settled_ms": "accepted to reply recorded (Postgres's clock)",
    }
    lines = [
        (name, *(f"{percentile(data[key], at):.1f}" for at in (50, 95)), f"{max(data[key]):.1f}")
        for key, name in names.items()
    ]
    median = percentile(data["lead_ms"], 50)
    expectations = Expectation(
        "POST to lead, idle", f"median <= {MEDIAN_MS} ms", f"{median:.1f} ms", median <= MEDIAN_MS
    )
    text = (
        f"{len(data['lead_ms'])} users one by one, the emulator at latency 0, standard limits."
        " The portal is polled about every 2 ms.\n\n"
        + table(("", "median ms", "p95 ms", "slowest ms"), lines)
    )
    return Chapter(text, expectations=[expectations])


SECTION = Section("idle", "From POST to lead on an idle system", measure, render)
