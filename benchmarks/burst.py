"""Many users at once with all limits off: the rate and cost of the whole pipeline."""

import re
from pathlib import Path

from benchmarks import ledger, plot, wrk
from benchmarks.figures import Figure, table
from benchmarks.laboratory import NO_LIMITS, BenchSystem, whole_system
from benchmarks.processes import CpuMeter, pss_mib
from benchmarks.scale import Scale
from benchmarks.sections import Chapter, Data, Expectation, Section
from benchmarks.writes import calls

EVENTS_PER_S = 300
EVENTS_PER_S_AIM = 550
_CONNECTIONS = 16
_WITHIN_S = 300


def measure(scale: Scale, folder: Path) -> Data:
    """Repeated bursts on one system; memory is read after the last one."""
    with whole_system(folder, **NO_LIMITS) as system:
        once(system, scale.burst_users // 10)  # warm
        runs = [once(system, scale.burst_users) for _ in range(scale.repeats)]
        memory = {name: pss_mib(pid) for name, pid in system.pids().items()}
        doubled = len(system.control("GET", "duplicates"))
    return {"users": scale.burst_users, "runs": runs, "memory_mib": memory, "doubled": doubled}


def once(system: BenchSystem, users: int) -> Data:
    """One burst of creates, from before the first POST until the last reply is in the ledger."""
    database = system.url("database")
    meter = CpuMeter(system.pids())
    commands = system.control("GET", "calls")
    started = ledger.now(database)
    wrk.send(system.function("create-user"), calls(system.key, 1)["create"], _CONNECTIONS, users)
    posted = ledger.now(database)
    settled = ledger.await_settled(database, started, _WITHIN_S)
    used = meter.used_s()
    after = system.control("GET", "calls")
    return {
        "events": settled.events,
        "failed": settled.failed,
        "sendings": settled.sendings,
        "posted_s": posted - started,
        "took_s": settled.last_at - started,
        "rate": settled.events / (settled.last_at - started),
        "requests": after["requests"] - commands["requests"],
        "cpu_ms": {name: seconds / settled.events * 1000 for name, seconds in used.items()},
    }


def render(data: Data) -> Chapter:
    """The rate, where the CPU time goes, and the memory of each process."""
    runs = data["runs"]
    rate = Figure.of(run["rate"] for run in runs)
    by_class = _by_class(runs)
    summary = [
        ("events a second, first POST to last reply", rate.text()),
        ("seconds for all", Figure.of(run["took_s"] for run in runs).text(2)),
        ("seconds for the POSTs", Figure.of(run["posted_s"] for run in runs).text(2)),
        ("events", Figure.of(run["events"] for run in runs).text()),
        ("requests to Bitrix24", Figure.of(run["requests"] for run in runs).text()),
        ("events sent more than once", f"{sum(run['sendings'] - run['events'] for run in runs)}"),
        ("failed", f"{sum(run['failed'] for run in runs)}"),
        ("users with two leads", f"{data['doubled']}"),
        ("CPU ms an event, everything", Figure.of(map(_all_cpu, runs)).text(2)),
    ]
    memory = sorted(data["memory_mib"].items(), key=lambda one: -one[1])
    text = (
        f"{data['users']:,} users over {_CONNECTIONS} connections, {len(runs)} times; the load"
        " generator, the portal's emulator and all servers on the same machine.\n\n"
        + table(("", "median [lowest..highest]"), summary)
        + "\nCPU time of an event in the whole pipeline:\n\n"
        + table(("process", "ms"), ((name, one.text(3)) for name, one in by_class.items()))
        + "\nResident memory after the last burst, each with its child processes (PSS: shared pages"
        " count once):\n\n"
        + table(("process", "MiB"), ((name, f"{size:.0f}") for name, size in memory))
    )
    expectations = Expectation(
        f"burst of {data['users']:,}",
        f">= {EVENTS_PER_S} events/s (aim {EVENTS_PER_S_AIM})",
        rate.text(),
        rate.median >= EVENTS_PER_S,
    )
    clean = all(run["failed"] == 0 for run in runs) and not data["doubled"]
    whole = Expectation(
        "burst", "nothing failed or doubled", "as expected" if clean else "see", clean
    )
    bars = {name: {"CPU ms": figure} for name, figure in list(by_class.items())[:8]}
    svg = plot.bars("CPU time of an event", "ms", bars)
    return Chapter(text, {"burst-cpu.svg": svg}, [expectations, whole])


def _all_cpu(run: Data) -> float:
    return float(sum(run["cpu_ms"].values()))


def _by_class(runs: list[Data]) -> dict[str, Figure]:
    """CPU by kind of process, all workers together; the most expensive first."""
    kinds: dict[str, list[float]] = {}
    for run in runs:
        summed: dict[str, float] = {}
        for name, ms in run["cpu_ms"].items():
            kind = re.sub(r"^worker(-\d+)?$", "workers", name)
            summed[kind] = summed.get(kind, 0) + ms
        for kind, ms in summed.items():
            kinds.setdefault(kind, []).append(ms)
    figures = {kind: Figure.of(values) for kind, values in kinds.items()}
    return dict(sorted(figures.items(), key=lambda one: -one[1].median))


SECTION = Section("burst", "A burst through the whole pipeline, limits off", measure, render)
