"""Many seeds on all cores: one process with its own servers for each core."""

import importlib
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from typing import Any

from tests.simulation.dangers import draw
from tests.simulation.play import Player

#: How many seeds a process gets at a time.
CHUNK = 5
#: Processes without a result for this long are considered hanging: a history takes half a second,
#: and several on a machine that runs much else.
HUNG_AFTER_S = 600.0
#: How long a process may take to finish its current history.
END_S = 20.0


@dataclass(frozen=True)
class FailedSeed:
    """A seed whose history broke a rule."""

    seed: int
    violations: tuple[str, ...]


def play(
    seeds: Sequence[int],
    *,
    jobs: int = 0,
    go_on: bool = False,
    report: Callable[[str], None] = print,
    prepare: str = "",
) -> list[FailedSeed]:
    """Play these seeds; returns those that failed.

    Ends with the first chunk in which a seed fails, unless it shall `go_on`.

    `prepare`: a function (`module:name`) that each process calls before it begins.
    """
    began = time.monotonic()
    done = 0
    failed: list[FailedSeed] = []
    for played, found in _results(seeds, jobs or os.cpu_count() or 1, prepare):
        done += played
        for failure in found:
            failed.append(failure)
            report(f"\nseed {failure.seed}: {'; '.join(failure.violations)[:400]}")
        _show_progress(done, len(seeds), began)
        if failed and not go_on:
            break
    spent_s = time.monotonic() - began
    report(
        f"\n{done} histories in {spent_s:.0f} s, {done / spent_s:.1f} a second: "
        + (f"{len(failed)} failed" if failed else "no rule broken")
    )
    return sorted(failed, key=lambda failure: failure.seed)


def _show_progress(done: int, of: int, began: float) -> None:
    if sys.stdout.isatty() or done % 500 < CHUNK:  # in a log, once for 500 histories
        rate = done / (time.monotonic() - began)
        print(f"\r{done} of {of} histories, {rate:.1f} a second ", end="", flush=True)


def _results(
    seeds: Sequence[int], jobs: int, prepare: str
) -> Iterator[tuple[int, list[FailedSeed]]]:
    """For each chunk of seeds: how many were played, and which failed."""
    context = multiprocessing.get_context("spawn")
    chunks: Any = context.Queue()
    results: Any = context.Queue()
    stop: Any = context.Event()
    count = 0
    for at in range(0, len(seeds), CHUNK):
        chunks.put(list(seeds[at : at + CHUNK]))
        count += 1
    for _ in range(jobs):
        chunks.put(None)  # ends one process
    processes = [
        context.Process(target=_work, args=(number, chunks, results, stop, prepare), daemon=True)
        for number in range(jobs)
    ]
    for process in processes:
        process.start()
    try:
        for _ in range(count):
            yield _next_result(results, processes)
    finally:
        stop.set()
        for queue in (chunks, results):
            queue.cancel_join_thread()
        for process in processes:
            process.join(END_S)
            process.kill()
            process.join()


def _next_result(results: Any, processes: list[SpawnProcess]) -> tuple[int, list[FailedSeed]]:
    found: Any = results.get(timeout=HUNG_AFTER_S)
    if isinstance(found, str):  # the traceback of a process that has failed
        raise ChildProcessError(f"one of {len(processes)} processes has failed:\n{found}")
    result: tuple[int, list[FailedSeed]] = found
    return result


def _work(number: int, chunks: Any, results: Any, stop: Any, prepare: str) -> None:
    """A process: starts its servers, then plays chunk after chunk."""
    parent = os.getppid()
    # It and its servers work in turn, never at once: on one core, handing over takes less time.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[(number + parent) % len(cores)]})
    try:
        with closing(Player()) as player:
            if prepare:
                module, _, name = prepare.partition(":")
                getattr(importlib.import_module(module), name)()
            while (seeds := chunks.get()) is not None:
                failed = []
                for seed in seeds:
                    if stop.is_set() or os.getppid() != parent:
                        return
                    violations = player.play(draw(seed)).violations
                    if violations:
                        failed.append(FailedSeed(seed, tuple(violations)))
                results.put((len(seeds), failed))
    except Exception:  # noqa: BLE001 - the edge of the process
        results.put(traceback.format_exc())
