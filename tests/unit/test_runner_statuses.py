"""The runner asks supervisord for the statuses of its programs only when they may have changed."""

import os
import subprocess
import sys

import pytest

from local.runner.processes import supervision
from local.runner.processes.supervision import Status, Statuses


def statuses(*answers: list[Status]) -> tuple[Statuses, list[int]]:
    """A source of these answers (the last repeats), and how often it was called, in a list."""
    asked = [0]

    def ask() -> list[Status]:
        asked[0] += 1
        return answers[min(asked[0], len(answers)) - 1]

    return Statuses(ask), asked


RUNS = Status("edge", "RUNNING", os.getpid())


def ended_pid() -> int:
    process = subprocess.Popen((sys.executable, "-c", ""))
    process.wait()
    return process.pid


def test_statuses_are_cached_while_every_process_runs() -> None:
    found, asked = statuses([RUNS, Status("console", "STOPPED", 0)])
    assert {tuple(found.current()) for _ in range(10)} == {(RUNS, Status("console", "STOPPED", 0))}
    assert asked == [1]


@pytest.mark.parametrize(
    "before",
    [
        Status("edge", "RUNNING", ended_pid()),
        Status("edge", "STARTING", os.getpid()),
        Status("edge", "BACKOFF", 0),
        Status("edge", "EXITED", 0),
    ],
    ids=lambda status: status.state,
)
def test_statuses_are_read_until_an_ended_process_runs_again(before: Status) -> None:
    found, asked = statuses([before], [before], [RUNS])
    assert [found.current() for _ in range(4)] == [[before], [before], [RUNS], [RUNS]]
    assert asked == [3]


def test_a_change_made_by_another_process_is_seen_after_the_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, _ = statuses([Status("edge", "STOPPED", 0)], [RUNS])
    assert found.current() == [Status("edge", "STOPPED", 0)]
    monkeypatch.setattr(supervision, "_ASK_EVERY_S", -1)  # as once it is over
    assert found.current() == [RUNS]
