"""A long backlog: what it takes in RabbitMQ and Redis, and whether rates stay flat."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import redis

from benchmarks import ledger, plot, tables
from benchmarks.figures import Figure, table
from benchmarks.laboratory import NO_LIMITS, BenchSystem, whole_system
from benchmarks.processes import MIB, pss_mib
from benchmarks.scale import Scale
from benchmarks.sections import Chapter, Data, Judged, Section

WITHIN = 0.10
_WITHIN_S = 3_600
_LOOK_EVERY_S = 0.2

_UNPUBLISHED = "SELECT 1 FROM events WHERE published_at IS NULL LIMIT 1"


def measure(scale: Scale, folder: Path) -> Data:
    """The same events wait in Postgres, then in RabbitMQ, then in Redis, then they are drained."""
    with whole_system(folder, **NO_LIMITS) as system:
        database = system.url("database")
        since = ledger.now(database)
        empty = _memory(system)
        system.suspend("worker")
        system.suspend("connector")
        tables.add_waiting(database, scale.backlog, due_in_s=0)
        began = ledger.now(database)
        with tables.connection(database) as connection:
            _moments(lambda: 0 if connection.run(_UNPUBLISHED) else 1, 1)
        in_rabbitmq = _memory(system)
        published = [began, *ledger.deciles(database, "published_at", since)]
        system.resume("connector")
        taken = _moments(system.waiting, scale.backlog)
        in_redis = _memory(system)
        began = ledger.now(database)
        system.resume("worker")
        settled = ledger.await_settled(database, since, _WITHIN_S)
        drained = [began, *ledger.deciles(database, "settled_at", since)]
    tenth = scale.backlog / 10
    return {
        "events": scale.backlog,
        "failed": settled.failed,
        "sendings": settled.sendings,
        "memory_mib": {"empty": empty, "in RabbitMQ": in_rabbitmq, "in Redis": in_redis},
        "rates": {
            "published by the relay": _rates(published, tenth),
            "into the work queue": _rates(taken, tenth),
            "drained": _rates(drained, tenth),
        },
    }


def _memory(system: BenchSystem) -> Data:
    """MiB: RabbitMQ's processes, and what Redis says it uses."""
    with redis.Redis.from_url(system.url("redis")) as client:
        used = int(dict(client.info("memory"))["used_memory"])
    return {"rabbitmq": pss_mib(system.pid("rabbitmq")), "redis": used / MIB}


def _moments(count: Callable[[], int], total: int) -> list[float]:
    """When the count passed each tenth of the total, the beginning first."""
    moments = [time.time()]
    deadline = time.monotonic() + _WITHIN_S
    while len(moments) <= 10:
        if time.monotonic() > deadline:
            raise TimeoutError("the backlog does not move")
        now = count()
        while len(moments) <= 10 and now >= total * len(moments) / 10:
            moments.append(time.time())
        time.sleep(_LOOK_EVERY_S)
    return moments


def _rates(moments: list[float], tenth: float) -> list[float]:
    pairs = pairwise(moments)
    return [tenth / max(after - before, _LOOK_EVERY_S / 10) for before, after in pairs]


def _halves(rates: list[float]) -> float:
    """The rate of the second half by that of the first, of equal numbers of events."""
    first, second = (sum(1 / rate for rate in half) for half in (rates[:5], rates[5:]))
    return first / second


def tell(data: Data) -> Chapter:
    """Memory at each stage, the rates by tenths."""
    memory = [
        (where, f"{one['rabbitmq']:.0f}", f"{one['redis']:.0f}")
        for where, one in data["memory_mib"].items()
    ]
    rates: dict[str, list[float]] = data["rates"]
    lines = [
        (name, Figure.of(known).text(), f"{_halves(known):.2f}") for name, known in rates.items()
    ]
    text = (
        f"{data['events']:,} events at once, limits off; the relay publishes them while connector"
        " and workers are held, then the connector takes them in, then the workers begin."
        f" {data['sendings']:,} sendings in all, {data['failed']} failed. Redis is new, and the"
        " relay has sent all of them: so users are served from the 70th second on, and looked up in"
        " Bitrix24 before their lead is made, as after an outage; the first tenths hold that.\n\n"
        + table(("all events are", "RabbitMQ MiB", "Redis MiB"), memory)
        + "\nRates, of each tenth of the events:\n\n"
        + table(("events a second", "median of tenths", "second half / first"), lines)
    )
    judged = [
        Judged(
            f"backlog, {name}",
            f"second half within {WITHIN:.0%} of the first",
            f"{_halves(known):.2f}",
            _halves(known) >= 1 - WITHIN,
        )
        for name, known in rates.items()
    ]
    shown = {
        name: [(at * 10.0, rate) for at, rate in enumerate(known, 1)]
        for name, known in rates.items()
    }
    svg = plot.lines("Rates while a backlog is worked off", "events/s", "% of the events", shown)
    return Chapter(text, {"backlog.svg": svg}, judged)


SECTION = Section("backlog", "A long backlog", measure, tell)
