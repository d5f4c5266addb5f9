"""Latency from a POST to the lead: on an idle system, after a long drain, at steady arrivals."""

import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.instruments import ledger, tables, wrk
from benchmarks.instruments.arrivals import LeadLatency, follow, open_connections
from benchmarks.instruments.laboratory import BenchSystem, whole_system
from benchmarks.rendering.figures import Figure, percentile, table
from benchmarks.scale import Scale
from benchmarks.sections.drain import COMMANDS, RATE_PER_S
from benchmarks.sections.section import Chapter, Data, Expectation, Measurement, Section
from benchmarks.sections.writes import function_requests

#: Upper bound of the median on an idle system.
IDLE_MEDIAN_MS = 60
#: Upper bound of the median after a drain: a token is available and no other user waits.
LONE_MEDIAN_MS = 100
#: Users per second; the portal accepts RATE_PER_S requests per second.
RATES = (1, 5, 20, 60)
#: How long the emulator takes for a command.
COMMAND_MS = 40
#: A user waits half the time between two tokens on average.
_TOKEN_WAIT_MS = 1000 / RATE_PER_S / 2
#: What Leadline may add to the waits for the portal.
OWN_MS = 50
#: At RATE_PER_S the bucket refills between users. Pauses are random, so that they do not align with
#: a schedule of the system.
_PAUSE_S = (0.6, 1.2)
_CONNECTIONS = 16
_WITHIN_S = 30
_NOT_MEASURED = "not measured yet\n"

_SETTLED_MS = """
SELECT EXTRACT(epoch FROM settled_at - occurred_at) * 1000 FROM events
WHERE occurred_at >= to_timestamp(:since)
"""


def limit_ms(rate: float) -> float:
    """The mean wait that the portal's limit alone causes: for a token, and half a call."""
    commands_per_call = max(1.0, rate / RATE_PER_S)
    return _TOKEN_WAIT_MS + commands_per_call * COMMAND_MS / 2


def measure(scale: Scale, folder: Path) -> Data:
    """Send users one by one, then one by one right after a drain, then as steady arrivals."""
    journal = folder / "journal"
    with whole_system(folder / "system", BITRIX_JOURNAL=str(journal)) as system:
        database = system.url("database")
        open_connections(system)
        since = ledger.now(database)
        idle = follow(system, journal, _pauses(scale.idle_posts))
        settled = [float(ms) for [ms] in tables.rows(database, _SETTLED_MS, since=since)]
        _drain(system, scale.latency_drain_users)
        system.control("PUT", "settings", {"command_ms": COMMAND_MS})
        after_drain = follow(system, journal, _pauses(scale.after_drain_posts))
        steady = [_steady(system, journal, rate, scale.steady_s) for rate in RATES]
    return {
        "answer_ms": [user.answer_ms for user in idle],
        "lead_ms": [user.lead_ms for user in idle],
        "settled_ms": settled,
        "drained": scale.latency_drain_users,
        "after_drain": [asdict(user) for user in after_drain],
        "steady": steady,
    }


def _pauses(users: int) -> Iterator[float]:
    return (random.uniform(*_PAUSE_S) for _ in range(users))  # noqa: S311 - no secret


def _drain(system: BenchSystem, users: int) -> None:
    """Send users to an empty token bucket, and wait until all are settled."""
    since = ledger.now(system.url("database"))
    system.empty_bucket()
    create = function_requests(system.key, users=1)["create"]
    wrk.send(system.function("create-user"), create, _CONNECTIONS, users)
    patience_s = users / COMMANDS + _WITHIN_S  # a second for a call: twice the ideal time
    ledger.await_settled(system.url("database"), since, patience_s)


def _steady(system: BenchSystem, journal: Path, rate: int, seconds: int) -> Data:
    """Follow arrivals at this rate; the bucket is empty at first, as after a busy hour."""
    system.empty_bucket()
    before = system.control("GET", "calls")
    pauses = (random.uniform(0.5, 1.5) / rate for _ in range(rate * seconds))  # noqa: S311
    found = follow(system, journal, pauses)
    after = system.control("GET", "calls")
    return {
        "per_s": rate,
        "users": [asdict(user) for user in found],
        **{name: after[name] - before[name] for name in ("requests", "commands", "refused")},
    }


def render(data: Data) -> Chapter:
    """A part for each situation; earlier versions recorded only the first."""
    chapter = _idle(data)
    for title, key, part in (
        ("Right after a long drain", "after_drain", _after_drain),
        ("Steady arrivals", "steady", _steady_arrivals),
    ):
        added = part(data) if key in data else Chapter(_NOT_MEASURED)
        chapter.text += f"\n### {title}\n\n{added.text}"
        chapter.expectations += added.expectations
        chapter.measurements += added.measurements
    return chapter


def _idle(data: Data) -> Chapter:
    names = {
        "answer_ms": "POST to its answer",
        "lead_ms": "POST to the lead in the portal",
        "settled_ms": "accepted to reply recorded (Postgres's clock)",
    }
    lines = [(name, *_spread(data[key])) for key, name in names.items()]
    median = percentile(data["lead_ms"], 50)
    expectation = Expectation(
        "POST to lead, idle",
        f"median <= {IDLE_MEDIAN_MS} ms",
        f"{median:.1f} ms",
        median <= IDLE_MEDIAN_MS,
    )
    text = (
        f"{len(data['lead_ms'])} users one by one, the emulator at latency 0, standard limits."
        "\n\n" + table(("", "median ms", "p95 ms", "slowest ms"), lines)
    )
    measurements = [_median(f"{name}, median", data[key]) for key, name in names.items()]
    return Chapter(text, expectations=[expectation], measurements=measurements)


def _after_drain(data: Data) -> Chapter:
    users = [LeadLatency(**user) for user in data["after_drain"]]
    leads = [user.lead_ms for user in users]
    median = percentile(leads, 50)
    text = (
        f"{len(users)} users one by one right after {data['drained']:,} have taken every token;"
        f" {COMMAND_MS} ms a command.\n\n"
        + table(
            ("", "median ms", "p95 ms", "slowest ms"),
            [("POST to the lead in the portal", *_spread(leads))],
        )
    )
    expectation = Expectation(
        "POST to lead, a lone user after a drain",
        f"median <= {LONE_MEDIAN_MS} ms",
        f"{median:.1f} ms",
        median <= LONE_MEDIAN_MS,
    )
    measurement = _median("POST to lead after a drain, median", leads)
    return Chapter(text, expectations=[expectation], measurements=[measurement])


def _steady_arrivals(data: Data) -> Chapter:
    lines, expectations, measurements = [], [], []
    for run in data["steady"]:
        leads = [user["lead_ms"] for user in run["users"]]
        rate, median = run["per_s"], percentile(leads, 50)
        limit = limit_ms(rate)
        calls_made = max(1, run["requests"])
        lines.append((rate, f"{limit:.0f}", *_spread(leads), f"{run['commands'] / calls_made:.1f}"))
        what = f"POST to lead, arrivals at {rate}/s"
        bound = f"median <= {limit:.0f} ms of the limit + {OWN_MS} ms"
        is_met = median <= limit + OWN_MS
        expectations.append(Expectation(what, bound, f"{median:.0f} ms", is_met))
        measurements.append(_median(f"{what}, median", leads))
    refused = sum(run["refused"] for run in data["steady"])
    expectations.append(
        Expectation(
            "steady arrivals", "none refused", str(refused), refused == 0, at_any_scale=True
        )
    )
    text = (
        f"Standard limits, {COMMAND_MS} ms a command, the bucket empty at first. Of the limit: half"
        f" of the time between two tokens ({_TOKEN_WAIT_MS:.0f} ms) and half a call.\n\n"
        + table(
            (
                "users per second",
                "of the limit, ms",
                "median ms",
                "p95 ms",
                "slowest ms",
                "commands per call",
            ),
            lines,
        )
    )
    return Chapter(text, expectations=expectations, measurements=measurements)


def _spread(values: list[float]) -> tuple[str, str, str]:
    return f"{percentile(values, 50):.1f}", f"{percentile(values, 95):.1f}", f"{max(values):.1f}"


def _median(what: str, values: list[float]) -> Measurement:
    return Measurement(what, Figure.of([percentile(values, 50)]), "ms", digits=1)


SECTION = Section("latency", "From POST to lead", measure, render)
