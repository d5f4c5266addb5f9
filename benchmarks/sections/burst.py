"""Many users at once with all limits off: the rate and cost of the whole pipeline.

The CPU time per event is compared with that of a request to a bare hello, measured in the same
repeat.
"""

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.instruments import ledger, wrk
from benchmarks.instruments.laboratory import (
    NO_LIMITS,
    BenchSystem,
    FunctionProcess,
    Laboratory,
    whole_system,
)
from benchmarks.instruments.processes import CpuMeter, await_idle, pss_mib
from benchmarks.rendering import plot
from benchmarks.rendering.figures import Figure, table
from benchmarks.scale import Scale
from benchmarks.sections.section import Chapter, Data, Expectation, Measurement, Section
from benchmarks.sections.writes import function_requests

#: Lower bound of the rate, and the rate aimed at.
EVENTS_PER_S = 300
EVENTS_PER_S_AIM = 550
#: Upper bounds of the CPU time per event, in multiples of one request to a bare hello.
OUR_CPU_MAX = 5
EMULATOR_CPU_MAX = 1
_EMULATOR = "bitrix24"
_SERVERS = (_EMULATOR, "epmd", "postgres", "rabbitmq", "redis")
_CONNECTIONS = 16
_WITHIN_S = 300


def measure(scale: Scale, folder: Path) -> Data:
    """Repeated bursts on one system; memory is read after the last one."""
    runs = []
    with (
        Laboratory(folder / "hello").running() as laboratory,
        whole_system(folder / "system", **NO_LIMITS) as system,
    ):
        hello = laboratory.serve("hello")
        measure_burst(system, scale.burst_users // 10)  # opens connections; not counted
        for _ in range(scale.repeats):
            hello_cpu_ms = _hello_cpu_ms(hello, scale)
            runs.append({**measure_burst(system, scale.burst_users), "hello_cpu_ms": hello_cpu_ms})
        memory = {name: pss_mib(pid) for name, pid in system.pids().items()}
        doubled = len(system.control("GET", "duplicates"))
    return {"users": scale.burst_users, "runs": runs, "memory_mib": memory, "doubled": doubled}


def _hello_cpu_ms(hello: FunctionProcess, scale: Scale) -> float:
    """CPU time of a request to the bare hello."""
    request, pid = function_requests(key="", users=1)["hello"], hello.process.pid
    wrk.load(hello.url, request, _CONNECTIONS, scale.warm_up_s)
    meter = CpuMeter({"hello": pid})
    load = wrk.load(hello.url, request, _CONNECTIONS, scale.load_s)
    await_idle([pid])
    return meter.used_s()["hello"] / load.requests * 1000


def measure_burst(system: BenchSystem, users: int) -> Data:
    """One burst of creates, from before the first POST until the last reply is in the ledger."""
    database = system.url("database")
    meter = CpuMeter(system.pids())
    before = system.control("GET", "calls")
    started = ledger.now(database)
    wrk.send(
        system.function("create-user"),
        function_requests(system.key, users=1)["create"],
        _CONNECTIONS,
        users,
    )
    posted = ledger.now(database)
    settled = ledger.await_settled(database, started, _WITHIN_S)
    used = meter.used_s()
    after = system.control("GET", "calls")
    return {
        "events": settled.events,
        "failed": settled.failed,
        "sendings": settled.publications,
        "posted_s": posted - started,
        "took_s": settled.last_at - started,
        "rate": settled.events / (settled.last_at - started),
        "requests": after["requests"] - before["requests"],
        "cpu_ms": {name: seconds / settled.events * 1000 for name, seconds in used.items()},
    }


def render(data: Data) -> Chapter:
    """The rate, where the CPU time goes, and the memory of each process."""
    runs = data["runs"]
    rate = Figure.of(run["rate"] for run in runs)
    by_kind = _by_kind(runs)
    summary = [
        ("events per second, first POST to last reply", rate.text()),
        ("seconds for all", Figure.of(run["took_s"] for run in runs).text(2)),
        ("seconds for the POSTs", Figure.of(run["posted_s"] for run in runs).text(2)),
        ("events", Figure.of(run["events"] for run in runs).text()),
        ("requests to Bitrix24", Figure.of(run["requests"] for run in runs).text()),
        ("events sent more than once", f"{sum(run['sendings'] - run['events'] for run in runs)}"),
        ("failed", f"{sum(run['failed'] for run in runs)}"),
        ("users with two leads", f"{data['doubled']}"),
        ("CPU ms per event, all processes", Figure.of(map(_all_cpu, runs)).text(2)),
    ]
    memory = sorted(data["memory_mib"].items(), key=lambda item: -item[1])
    text = (
        f"{data['users']:,} users over {_CONNECTIONS} connections, {len(runs)} times; the load"
        " generator, the portal's emulator and all servers on the same machine.\n\n"
        + table(("", "median [lowest..highest]"), summary)
        + "\nCPU time per event in the whole pipeline:\n\n"
        + table(("process", "ms"), ((name, figure.text(3)) for name, figure in by_kind.items()))
        + "\nResident memory after the last burst, each with its child processes (PSS: shared pages"
        " count once):\n\n"
        + table(("process", "MiB"), ((name, f"{size:.0f}") for name, size in memory))
    )
    rate_met = Expectation(
        f"burst of {data['users']:,}",
        f">= {EVENTS_PER_S} events/s (aim {EVENTS_PER_S_AIM})",
        rate.text(),
        rate.median >= EVENTS_PER_S,
    )
    is_clean = all(run["failed"] == 0 for run in runs) and not data["doubled"]
    intact = Expectation(
        "burst",
        "nothing failed or doubled",
        "as expected" if is_clean else "see the table above",
        is_clean,
        at_any_scale=True,
    )
    # As many of the most expensive as have room for their names.
    bars = {name: {"CPU ms": figure} for name, figure in list(by_kind.items())[:8]}
    svg = plot.bars("CPU time per event", "ms", bars)
    measurements = [
        Measurement("events", rate, "/s", digits=0, more_is_better=True),
        Measurement("seconds for all", Figure.of(run["took_s"] for run in runs), "s"),
        Measurement("CPU per event, all processes", Figure.of(map(_all_cpu, runs)), "ms"),
        Measurement(
            "memory, all processes", Figure.of([sum(data["memory_mib"].values())]), "MiB", digits=0
        ),
    ]
    chapter = Chapter(text, {"burst-cpu.svg": svg}, [rate_met, intact], measurements)
    _add_costs(chapter, runs)
    return chapter


def _add_costs(chapter: Chapter, runs: list[Data]) -> None:
    """Add the CPU time per event, in requests to hello: text, expectations and measurements."""
    if not all("hello_cpu_ms" in run for run in runs):
        chapter.text += "\nCPU time per event, in requests to a bare hello: not measured yet.\n"
        return
    ours = Figure.of(_cpu_in_hellos(run, _is_ours) for run in runs)
    emulator = Figure.of(_cpu_in_hellos(run, lambda name: name == _EMULATOR) for run in runs)
    hello = Figure.of(run["hello_cpu_ms"] for run in runs)
    chapter.text += (
        "\nCPU time per event, in requests to a bare hello"
        f" ({hello.text(3)} ms each, same repeat): our processes {ours.text(1)}, the emulator"
        f" {emulator.text(1)}.\n"
    )
    for what, figure, bound in (
        ("our processes", ours, OUR_CPU_MAX),
        ("the emulator", emulator, EMULATOR_CPU_MAX),
    ):
        text = f"CPU per event <= {bound} x a request to hello"
        met = figure.median <= bound
        chapter.expectations.append(Expectation(f"burst, {what}", text, figure.text(1), met))
        chapter.measurements.append(
            Measurement(f"{what}: CPU per event, in requests to hello", figure)
        )


def _is_ours(name: str) -> bool:
    return name not in _SERVERS


def _cpu_in_hellos(run: Data, is_counted: Callable[[str], bool]) -> float:
    """CPU time per event of the counted processes, in multiples of a request to hello."""
    counted = sum(ms for name, ms in run["cpu_ms"].items() if is_counted(name))
    return float(counted / run["hello_cpu_ms"])


def _all_cpu(run: Data) -> float:
    return float(sum(run["cpu_ms"].values()))


def _by_kind(runs: list[Data]) -> dict[str, Figure]:
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
    return dict(sorted(figures.items(), key=lambda item: -item[1].median))


SECTION = Section("burst", "A burst through the whole pipeline, limits off", measure, render)
