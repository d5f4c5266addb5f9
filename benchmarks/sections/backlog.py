"""A long backlog: its memory in RabbitMQ and Redis, and whether rates stay constant."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import redis

from benchmarks.instruments import ledger, tables
from benchmarks.instruments.laboratory import NO_LIMITS, BenchSystem, whole_system
from benchmarks.instruments.processes import MIB, pss_mib
from benchmarks.rendering import plot
from benchmarks.rendering.figures import Figure, table
from benchmarks.scale import Scale
from benchmarks.sections.section import Chapter, Data, Expectation, Measurement, Section
from local.sandbox.waiting import eventually

#: By how much the rate of the second half may be below that of the first.
MAX_SLOWDOWN = 0.10
_WITHIN_S = 3_600
_POLL_EVERY_S = 0.2

_UNPUBLISHED = "SELECT 1 FROM events WHERE published_at IS NULL LIMIT 1"


def measure(scale: Scale, folder: Path) -> Data:
    """Let the same events wait in RabbitMQ, then in Redis, then drain them."""
    with whole_system(folder, **NO_LIMITS) as system:
        database = system.url("database")
        since = ledger.now(database)
        empty = _memory(system)
        system.suspend("worker")
        system.suspend("connector")
        tables.add_waiting(database, scale.backlog, due_in_s=0)
        start = ledger.now(database)
        with tables.connection(database) as connection:
            eventually(
                lambda: not connection.run(_UNPUBLISHED),
                _WITHIN_S,
                "every event is published",
                _POLL_EVERY_S,
            )
        in_rabbitmq = _memory(system)
        published = [start, *ledger.deciles(database, "published_at", since)]
        system.resume("connector")
        enqueued = _times_of_tenths(system.ready_users, scale.backlog)
        in_redis = _memory(system)
        start = ledger.now(database)
        system.resume("worker")
        settled = ledger.await_settled(database, since, _WITHIN_S)
        drained = [start, *ledger.deciles(database, "settled_at", since)]
    tenth = scale.backlog / 10
    return {
        "events": scale.backlog,
        "failed": settled.failed,
        "sendings": settled.publications,
        "memory_mib": {"empty": empty, "in RabbitMQ": in_rabbitmq, "in Redis": in_redis},
        "rates": {
            "published by the relay": _rates(published, tenth),
            "into the work queue": _rates(enqueued, tenth),
            "drained": _rates(drained, tenth),
        },
    }


def _memory(system: BenchSystem) -> Data:
    """MiB used by RabbitMQ's processes, and by Redis as it reports it."""
    with redis.Redis.from_url(system.url("redis")) as client:
        used = int(dict(client.info("memory"))["used_memory"])
    return {"rabbitmq": pss_mib(system.pid("rabbitmq")), "redis": used / MIB}


def _times_of_tenths(count: Callable[[], int], total: int) -> list[float]:
    """Unix times: of the start, and when the count had reached each tenth of the total."""
    times = [time.time()]
    deadline = time.monotonic() + _WITHIN_S
    while len(times) <= 10:
        if time.monotonic() > deadline:
            raise TimeoutError("the backlog does not move")
        reached = count()
        while len(times) <= 10 and reached >= total * len(times) / 10:
            times.append(time.time())
        time.sleep(_POLL_EVERY_S)
    return times


def _rates(times: list[float], tenth: float) -> list[float]:
    """Events per second in each tenth.

    Several tenths may end within one look at the count: each counts as a tenth of `_POLL_EVERY_S`.
    """
    pairs = pairwise(times)
    return [tenth / max(after - before, _POLL_EVERY_S / 10) for before, after in pairs]


def _second_to_first_half(rates: list[float]) -> float:
    """The rate of the second half divided by that of the first half of the events."""
    # Each rate is that of one tenth: the sum of 1 / rate is proportional to the time of a half.
    first, second = (sum(1 / rate for rate in half) for half in (rates[:5], rates[5:]))
    return first / second


def render(data: Data) -> Chapter:
    """Memory while all events wait in one place, and rates by tenths of the events."""
    memory = [
        (place, f"{usage['rabbitmq']:.0f}", f"{usage['redis']:.0f}")
        for place, usage in data["memory_mib"].items()
    ]
    rates: dict[str, list[float]] = data["rates"]
    lines = [
        (name, Figure.of(values).text(), f"{_second_to_first_half(values):.2f}")
        for name, values in rates.items()
    ]
    text = (
        f"{data['events']:,} events at once, limits off; the relay publishes them while connector"
        " and workers are suspended, then the connector resumes, then the workers."
        f" {data['sendings']:,} publications in all, {data['failed']} failed. Redis is new, and the"
        " relay has sent all of them: so users are processed from the 70th second on, and looked up"
        " in Bitrix24 before their lead is created, as after an outage; the first tenths include"
        " that.\n\n"
        + table(("all events are", "RabbitMQ MiB", "Redis MiB"), memory)
        + "\nRates by tenths of the events:\n\n"
        + table(("events per second", "median of tenths", "second half / first"), lines)
    )
    expectations = [
        Expectation(
            f"backlog, {name}",
            f"second half within {MAX_SLOWDOWN:.0%} of the first",
            f"{_second_to_first_half(values):.2f}",
            _second_to_first_half(values) >= 1 - MAX_SLOWDOWN,
        )
        for name, values in rates.items()
    ]
    figures = {
        name: [(at * 10.0, rate) for at, rate in enumerate(values, 1)]
        for name, values in rates.items()
    }
    svg = plot.lines("Rates while a backlog is drained", "events/s", "% of the events", figures)
    measurements = [
        Measurement(f"{server}, {place}", Figure.of([usage[server]]), "MiB", digits=0)
        for place, usage in data["memory_mib"].items()
        for server in ("rabbitmq", "redis")
    ]
    for name, values in rates.items():
        measurements += [
            Measurement(f"{name}: events", Figure.of(values), "/s", digits=0, more_is_better=True),
            Measurement(
                f"{name}: second half / first",
                Figure.of([_second_to_first_half(values)]),
                more_is_better=True,
            ),
        ]
    return Chapter(text, {"backlog.svg": svg}, expectations, measurements)


SECTION = Section("backlog", "A long backlog", measure, render)
