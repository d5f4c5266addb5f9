"""Memory and CPU of an idle system, by process."""

import contextlib
import time
from pathlib import Path

import psutil

from benchmarks.instruments import processes
from benchmarks.instruments.arrivals import open_connections
from benchmarks.instruments.laboratory import BenchSystem, whole_system
from benchmarks.rendering.figures import Figure, table
from benchmarks.scale import Scale
from benchmarks.sections.section import Chapter, Data, Expectation, Measurement, Section

#: Upper bounds for the whole idle system.
PSS_MIB = 700
CPU_PERCENT = 4


def measure(scale: Scale, folder: Path) -> Data:
    """Take one user from POST to lead, then measure memory and CPU time of the idle system."""
    with whole_system(folder) as system:
        open_connections(system)
        time.sleep(scale.idle_before_s)
        groups = _groups(system)
        before = {name: _cpu_s(group) for name, group in groups.items()}
        started = time.monotonic()
        time.sleep(scale.idle_s)
        # A session of Postgres may have ended: its CPU time is then counted with its parent.
        groups = {
            name: [process for process in group if process.is_running()]
            for name, group in groups.items()
        }
        after = {name: _cpu_s(group) for name, group in groups.items()}
        took_s = time.monotonic() - started
        found = {
            name: {
                "rss_mib": sum(process.memory_info().rss for process in group) / processes.MIB,
                "pss_mib": sum(process.memory_full_info().pss for process in group) / processes.MIB,
                "cpu_percent": 100 * (after[name] - before[name]) / took_s,
                "processes": len(group),
            }
            for name, group in groups.items()
        }
    return {"seconds": took_s, "processes": found}


def _groups(system: BenchSystem) -> dict[str, list[psutil.Process]]:
    """Every process of the system by the name of its program; `runner`: all others."""
    groups = {name: processes.tree(pid) for name, pid in system.pids().items()}
    named_pids = {process.pid for group in groups.values() for process in group}
    return groups | {
        "runner": [process for process in system.processes() if process.pid not in named_pids]
    }


def _cpu_s(group: list[psutil.Process]) -> float:
    """CPU time of these processes and of their children that have ended."""
    times = []
    for process in group:
        with contextlib.suppress(psutil.NoSuchProcess):
            times.append(process.cpu_times())
    return sum(cpu.user + cpu.system + cpu.children_user + cpu.children_system for cpu in times)


def render(data: Data) -> Chapter:
    """Each program and the sum; shared pages count once in PSS, and for each process in RSS."""
    found = data["processes"]
    pss, rss, cpu = (total(data, key) for key in ("pss_mib", "rss_mib", "cpu_percent"))
    lines = [
        (
            name,
            usage["processes"],
            f"{usage['rss_mib']:.0f}",
            f"{usage['pss_mib']:.0f}",
            f"{usage['cpu_percent']:.2f}",
        )
        for name, usage in sorted(found.items(), key=lambda item: -item[1]["pss_mib"])
    ]
    count = sum(usage["processes"] for usage in found.values())
    lines.append(("**all**", count, f"{rss:.0f}", f"{pss:.0f}", f"{cpu:.2f}"))
    text = (
        "The whole native system, servers and emulator included, after one user was synced. PSS"
        f" counts shared pages once. CPU: of one core, over {data['seconds']:.0f} s.\n\n"
        + table(("program", "processes", "RSS MiB", "PSS MiB", "CPU %"), lines)
    )
    memory = Expectation("idle system", f"PSS <= {PSS_MIB} MiB", f"{pss:.0f} MiB", pss <= PSS_MIB)
    idle = Expectation(
        "idle system", f"CPU <= {CPU_PERCENT}% of a core", f"{cpu:.1f}%", cpu <= CPU_PERCENT
    )
    measurements = [
        Measurement("idle system, PSS", Figure.of([pss]), "MiB", digits=0),
        Measurement("idle system, RSS", Figure.of([rss]), "MiB", digits=0),
        Measurement("idle system, CPU", Figure.of([cpu]), "% of a core", digits=2),
        *(
            measurement
            for name, usage in found.items()
            for measurement in (
                Measurement(f"{name}, PSS", Figure.of([usage["pss_mib"]]), "MiB", digits=0),
                Measurement(
                    f"{name}, CPU", Figure.of([usage["cpu_percent"]]), "% of a core", digits=2
                ),
            )
        ),
    ]
    return Chapter(text, expectations=[memory, idle], measurements=measurements)


def total(data: Data, key: str) -> float:
    """The sum over all programs."""
    return float(sum(usage[key] for usage in data["processes"].values()))


SECTION = Section("footprint", "Memory and CPU of an idle system", measure, render)
