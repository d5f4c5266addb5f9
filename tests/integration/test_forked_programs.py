"""Programs of the local run are forked from supervisord, and behave as `python -m` does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.runner.processes import forked, supervisord
from local.runner.processes.program import CHECKOUT, Group, Program, StartPhase
from local.runner.processes.supervision import Supervisor, log_file
from local.runner.state import State
from tests.servers import eventually

#: Prints what a process can see of how it was started, then waits for a signal.
FACTS = """
import json, os, random, signal, sys, threading, time, uuid_utils
from pathlib import Path
handlers = {s.name: str(signal.getsignal(s)) for s in signal.valid_signals() if hasattr(s, "name")}
print(json.dumps({
    "argv": sys.argv[1:],
    "path": sys.path[0] == os.getcwd(),
    "name": __name__,
    "cmdline": Path("/proc/self/cmdline").read_text().strip(chr(0)).split(chr(0)),
    "descriptors": [n for n in range(1000) if os.path.exists(f"/proc/self/fd/{n}")],
    "handlers": handlers,
    "threads": threading.active_count(),
    "nice": os.nice(0),
    "env": {k: v for k, v in os.environ.items() if not k.startswith(("SUPER", "PYDANTIC"))},
    "random": [random.random(), str(uuid_utils.uuid7())],
}))
sys.stdout.flush()
time.sleep(60)
"""

#: Ends with the exit code that is its argument, after a thread and an exit handler.
ENDS = """
import atexit, sys, threading, time
atexit.register(print, "at exit")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread ended"))).start()
sys.exit(int(sys.argv[1]))
"""

Launch = Callable[..., Supervisor]


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A state folder with the modules of the tests."""
    state = State(tmp_path / "state")
    state.create()
    (tmp_path / "facts.py").write_text(FACTS)
    (tmp_path / "ends.py").write_text(ENDS)
    (tmp_path / "fails.py").write_text("raise ValueError('on purpose')")
    return state


@pytest.fixture
def launch(state: State) -> Iterator[Launch]:
    """Start supervisord with these programs."""
    supervisor = Supervisor(state)

    def launch_programs(*programs: Program) -> Supervisor:
        supervisor.launch(programs, {**os.environ, "PYTHONUNBUFFERED": "1"})
        supervisor.start_programs(programs)
        return supervisor

    yield launch_programs
    supervisor.stop(within_s=10)


def program(state: State, name: str, module: str, *words: str, **env: str) -> Program:
    """A program that runs a module of the test."""
    command = (sys.executable, "-m", module, *words)
    folder = state.root.parent
    return Program(name, command, Group.FUNCTIONS, StartPhase.FUNCTIONS, env, folder=folder)


def output(state: State, name: str) -> str:
    """The output of this program so far."""
    path = log_file(state, name)
    return path.read_text(encoding="utf-8") if path.exists() else ""


def facts(state: State, name: str) -> Any:
    """The facts that this program has printed."""
    eventually(lambda: output(state, name).endswith("\n"), 60, f"{name} prints")
    return json.loads(output(state, name).splitlines()[-1])


def pid(supervisor: Supervisor, name: str) -> int:
    """The pid of this program, 0 while it does not run."""
    return next(status.pid for status in supervisor.statuses() if status.name == name)


def test_a_forked_program_sees_the_same_environment_as_one_started_by_python(
    state: State, launch: Launch
) -> None:
    env = {"THREADS": "3", "PORT": "1234"}
    supervisor = launch(program(state, "one", "facts", "a word", "", "--b", **env))
    found = facts(state, "one")
    # supervisord handles SIGHUP and SIGQUIT, also where these tests were started by nohup.
    start = ("/usr/bin/env", "--default-signal", "/usr/bin/nice", "-n", "19")
    started = subprocess.Popen(
        [*start, sys.executable, "-m", "facts", "a word", "", "--b"],
        cwd=state.root.parent,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
        stdout=subprocess.PIPE,
    )
    try:
        assert started.stdout
        expected = json.loads(started.stdout.readline())
    finally:
        started.kill()
        started.communicate()
    assert found.pop("random") != expected.pop("random")
    assert found == expected, "nothing else differs"
    parent = psutil.Process(pid(supervisor, "one")).parent()
    assert parent
    assert "supervisord" in " ".join(parent.cmdline())


def test_forks_have_different_random_numbers(state: State, launch: Launch) -> None:
    launch(*(program(state, name, "facts") for name in ("one", "two")))
    first, second = (facts(state, name)["random"] for name in ("one", "two"))
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_a_killed_fork_is_replaced(state: State, launch: Launch) -> None:
    supervisor = launch(program(state, "one", "facts"))
    facts(state, "one")
    killed = pid(supervisor, "one")
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: pid(supervisor, "one") not in {0, killed}, 60, "the program is replaced")


def test_signals_end_a_fork_like_any_other_program(state: State, launch: Launch) -> None:
    supervisor = launch(program(state, "one", "facts"))
    facts(state, "one")
    os.kill(pid(supervisor, "one"), signal.SIGTERM)
    log = state.logs / "supervisord.log"
    eventually(lambda: "terminated by SIGTERM" in log.read_text(), 60, "the program is terminated")


def test_a_fork_runs_exit_handlers_and_returns_its_exit_code(state: State, launch: Launch) -> None:
    launch(program(state, "one", "ends", "3"), program(state, "two", "fails"))
    log = state.logs / "supervisord.log"
    eventually(lambda: "one (exit status 3; not expected)" in log.read_text(), 60, "its exit code")
    eventually(lambda: "two (exit status 1; not expected)" in log.read_text(), 60, "its exit code")
    assert output(state, "one").splitlines()[:2] == ["thread ended", "at exit"]
    assert "ValueError: on purpose" in output(state, "two")
    assert "not spawned" not in output(state, "one") + output(state, "two")


def test_a_changed_file_is_imported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(os, "execve", lambda *_: ran.append("python"))
    monkeypatch.setattr(forked, "run", lambda *_: ran.append("fork"))
    module = tmp_path / "module.py"
    module.touch()
    os.utime(module, (0, 0))
    monkeypatch.setattr(supervisord, "_loaded", [module])
    words = ["nice", "-n", "19", sys.executable, "-m", "facts"]

    def become() -> None:
        supervisord.Options().execve("/usr/bin/nice", words, {})

    become()
    module.touch()
    os.utime(module, (time.time() + 3600,) * 2)
    become()
    module.unlink()
    become()
    assert ran == ["fork", "python", "python"]


@pytest.mark.parametrize(
    "command",
    [
        ["nice", "-n", "0", "redis-server", "redis.conf"],
        ["nice", "-n", "0", "/usr/bin/python3", "-m", "facts"],
        ["nice", "-n", "0", sys.executable, "script.py"],
        [sys.executable, "-m", "facts"],
    ],
)
def test_other_commands_are_not_forked(command: list[str]) -> None:
    assert forked.module_of(command) is None


#: Loads what forks share, and checks that nothing of a process exists and no setting was read.
LOADED = """
import os, sys
seen = set()
class Environment(type(os.environ)):
    def __getitem__(self, key):
        callers = [sys._getframe(depth).f_globals.get("__name__", "") for depth in (1, 2, 3)]
        if any(caller.startswith("leadline") for caller in callers):
            seen.add(key)
        return super().__getitem__(key)
from leadline.runtime.serving import cold_start
cold_start.prepare()
from leadline import process
def start_check(check):
    raise AssertionError("a check of a process is registered")
process.start_check = start_check
os.environ.__class__ = Environment
from local.runner.processes import supervisord
before = set(os.listdir("/proc/self/fd"))
supervisord.load()
assert os.listdir("/proc/self/task") == [str(os.getpid())], "a thread runs"
assert set(os.listdir("/proc/self/fd")) == before, "a descriptor is open"
assert not process.current().objects(), "something of a process is held"
from leadline.runtime.telemetry import metrics
assert b"leadline_" not in metrics.exposition(), "a metric is registered"
assert not seen, f"settings were read: {seen}"
"""


def test_modules_that_forks_share_hold_no_state() -> None:
    result = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=CHECKOUT, check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
