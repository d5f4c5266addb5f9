"""How close to the ideal a long queue drains at the portal's standard limits."""

from math import ceil
from pathlib import Path

from benchmarks.instruments import ledger, tables, wrk
from benchmarks.instruments.laboratory import BenchSystem, whole_system
from benchmarks.rendering import plot
from benchmarks.rendering.figures import Figure, table
from benchmarks.scale import Scale
from benchmarks.sections.section import Chapter, Data, Expectation, Measurement, Section
from benchmarks.sections.writes import function_requests
from local.sandbox.waiting import eventually

#: https://apidocs.bitrix24.com/limits.html: requests per second, burst, and commands per request.
RATE_PER_S = 2
BURST = 50
COMMANDS = 50
#: Lower bound of the share of the limit that is used while there is work (promise P4).
MIN_USED = 0.98
_CONNECTIONS = 16
_FILL_WITHIN_S = 300


def ideal_s(users: int) -> float:
    """The minimum time: a full bucket, then the rate, with full requests."""
    return max(0.0, (ceil(users / COMMANDS) - BURST) / RATE_PER_S)


def measure(scale: Scale, folder: Path) -> Data:
    """Suspend the workers until all users wait, then measure the time until the last reply."""
    with whole_system(folder) as system:
        database = system.url("database")
        system.suspend("worker")
        since = ledger.now(database)
        create = function_requests(system.key, users=1)["create"]
        wrk.send(system.function("create-user"), create, _CONNECTIONS, scale.drain_users)
        eventually(lambda: _are_all_ready(system), _FILL_WITHIN_S, "all users wait")
        fills_within_s = BURST / RATE_PER_S + 10
        eventually(system.has_burst, fills_within_s, "the burst has filled up")
        before = system.control("GET", "calls")
        started = ledger.now(database)
        system.resume("worker")
        patience_s = 4 * ideal_s(scale.drain_users) + 300  # a slow drain is measured, too
        settled = ledger.await_settled(database, since, patience_s)
        after = system.control("GET", "calls")
        settled_deciles = ledger.deciles(database, "settled_at", since)
        doubled = len(system.control("GET", "duplicates"))
    return {
        "users": settled.events,
        "failed": settled.failed,
        "sendings": settled.publications,
        "took_s": settled.last_at - started,
        "ideal_s": ideal_s(settled.events),
        "requests": after["requests"] - before["requests"],
        "commands": after["commands"] - before["commands"],
        "refused": after["refused"] - before["refused"],
        "doubled": doubled,
        "deciles_s": [moment - started for moment in settled_deciles],
    }


def _are_all_ready(system: BenchSystem) -> bool:
    """Whether every user in the table is due in the work queue."""
    [[users]] = tables.rows(system.url("database"), "SELECT count(*) FROM users")
    return system.ready_users() == int(users)


def render(data: Data) -> Chapter:
    """The time, compared with the ideal, and the requests to the portal."""
    took, ideal = data["took_s"], data["ideal_s"]
    used = ideal / took
    lines = [
        ("users", f"{data['users']:,}"),
        ("seconds", f"{took:.1f}"),
        ("ideal seconds", f"{ideal:.1f}"),
        ("ideal / measured", f"{used:.1%}"),
        ("requests", data["requests"]),
        ("requests, ideal", ceil(data["users"] / COMMANDS)),
        ("commands", data["commands"]),
        ("refused", data["refused"]),
        ("failed", data["failed"]),
        ("users with two leads", data["doubled"]),
        ("events sent more than once", data["sendings"] - data["users"]),
    ]
    text = (
        f"All users wait in the work queue, then the workers resume. Ideal: (ceil(users/{COMMANDS})"
        f" - {BURST}) / {RATE_PER_S} per second, a full bucket of {BURST} requests first.\n\n"
        + table(("", "measured"), lines)
    )
    measured_line = [
        (0.0, 0.0),
        *((at, share / 10) for share, at in enumerate(data["deciles_s"], 1)),
    ]
    first = min(1.0, BURST * COMMANDS / data["users"])
    ideal_line = [(0.0, 0.0), (0.0, first), (ideal, 1.0)]
    figures = {
        name: [(x, y * data["users"]) for x, y in points]
        for name, points in {"measured": measured_line, "ideal": ideal_line}.items()
    }
    svg = plot.lines("Users synced", "users", "seconds", figures)
    is_clean = not (data["refused"] or data["doubled"] or data["failed"])
    outcome = f"{data['refused']} refused, {data['doubled']} doubled, {data['failed']} failed"
    expectations = [
        Expectation(
            "drain", f"ideal / measured >= {MIN_USED:.0%}", f"{used:.1%}", used >= MIN_USED
        ),
        Expectation(
            "drain", "nothing refused, doubled or failed", outcome, is_clean, at_any_scale=True
        ),
    ]
    measurements = [
        Measurement("ideal / measured", Figure.of([used]), digits=3, more_is_better=True),
        Measurement("time", Figure.of([took]), "s", digits=1),
        Measurement("requests", Figure.of([data["requests"]]), "requests", digits=0),
    ]
    return Chapter(text, {"drain.svg": svg}, expectations, measurements)


SECTION = Section("drain", "Drain of a long queue at the standard limits", measure, render)
