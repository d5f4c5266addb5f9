"""While `make run` runs, run.json and /healthz are correct, and killed processes restart."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

from local.runner.processes.supervision import DAEMON
from local.runner.state import State
from local.runner.system import function_folders
from tests.faults import portal
from tests.servers import eventually, family
from tests.system import CHECKOUT, System

SERVERS = {"postgres", "rabbitmq", "redis", "bitrix24", "epmd"}
#: Maximum age of an answer of /healthz, which is cached.
CACHED_S = 1.5
OTHERS = {"connector", "relay", "edge", "worker", "worker-2", "worker-3"}


def test_run_json_names_every_process_and_each_is_alive(system: System) -> None:
    names = SERVERS | OTHERS | set(function_folders())
    eventually(lambda: system.run["processes"].keys() == names, 120, "every process is listed")
    run = system.run
    assert run.keys() == {"urls", "functions", "processes"}
    urls = {"edge", "bitrix24", "database", "amqp", "redis", "rabbitmq_management"}
    assert run["urls"].keys() == urls
    assert run["functions"].keys() == set(function_folders())
    expected = dict.fromkeys(OTHERS, "python") | {
        "postgres": "postgres",
        "rabbitmq": "beam.smp",
        "redis": "redis-server",
        "epmd": "epmd",
    }
    # A process that was just started is setpriv for a moment.
    eventually(lambda: _names(system, expected) == expected, 120, "each is what its name says")


def _names(system: System, names: Iterable[str]) -> dict[str, str]:
    """The kernel's names of these processes, without versions."""
    processes = system.run["processes"]
    return {
        name: re.sub(r"^python[\d.]*$", "python", psutil.Process(processes[name]).name())
        for name in names
        if psutil.pid_exists(processes[name])
    }


def test_other_users_of_the_machine_can_read_nothing_of_it(system: System) -> None:
    """Passwords, and the names and phones in data, logs and state."""
    system.await_synced(system.create()["id"])
    inside = [path for path in system.state.root.iterdir() if not path.is_symlink()]
    assert {"passwords", "logs", "postgres", "run.json", "bitrix24.sqlite3"} <= {
        path.name for path in inside
    }
    # A folder that others cannot enter hides everything in it.
    assert not [path.name for path in inside if path.stat().st_mode & 0o077]


def test_permissions_left_open_by_an_earlier_version_are_closed(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir(mode=0o755)
    (tmp_path / "bitrix24.sqlite3").touch(mode=0o644)
    State(tmp_path).create()
    assert (tmp_path / "logs").stat().st_mode & 0o077 == 0
    assert (tmp_path / "bitrix24.sqlite3").stat().st_mode & 0o077 == 0


def test_a_user_becomes_a_lead(system: System) -> None:
    user = system.create()
    synced = system.await_synced(user["id"])
    leads = [lead for lead in system.leads() if lead["ORIGIN_ID"] == str(user["id"])]
    assert [lead["ID"] for lead in leads] == [str(synced["sync"]["bitrix_lead_id"])]


@pytest.mark.parametrize(
    "name", ["create-user", "worker", "connector", "edge", "relay", "bitrix24", "redis", "postgres"]
)
def test_a_killed_process_is_restarted(system: System, name: str) -> None:
    eventually(system.is_well, 120, "all is well before")
    old = system.kill(name)
    new = system.await_restart(name, old)
    assert psutil.pid_exists(new)
    eventually(lambda: _is_well(system), 120, "all is well again")


@pytest.mark.slow("RabbitMQ takes seconds to start")
def test_a_killed_rabbitmq_is_restarted_and_the_flow_continues(system: System) -> None:
    eventually(system.is_well, 120, "all is well before")
    old = system.kill("rabbitmq")
    eventually(lambda: "rabbitmq" in _failing(system), 120, "healthz names it")
    user = system.create()
    system.await_restart("rabbitmq", old)
    eventually(system.is_well, 120, "all is well again")
    # Redis may have been restarted just before: then a republished create waits a while.
    system.await_synced(user["id"], within_s=240)


@pytest.fixture(scope="module")
def slow_s(running_system: System) -> float:
    """Ten times as long as /healthz takes on this machine while all is well."""
    return 10 * max(_healthz_s(running_system) for _ in range(3))


@pytest.mark.parametrize("name", ["redis", "rabbitmq", "postgres", "bitrix24", "get-user"])
def test_healthz_names_a_frozen_part_within_two_seconds(
    system: System, slow_s: float, name: str
) -> None:
    eventually(system.is_well, 120, "all is well before")
    processes = family(system.pid(name))
    for process in processes:
        process.suspend()
    try:
        eventually(lambda: name in _failing(system), 2 + CACHED_S + slow_s, "healthz names it")
        answer = system.request("GET", "/healthz")
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):  # a backend that was ending
                process.resume()
    assert answer.elapsed.total_seconds() < 2 + slow_s
    assert portal.WEBHOOK_CODE not in answer.text
    assert system.url("redis").split("@")[0].rpartition(":")[2] not in answer.text
    eventually(system.is_well, 120, "all is well again")


def test_a_second_start_is_refused_and_harms_nothing(system: System) -> None:
    before = system.run["processes"]
    second = subprocess.run(
        (sys.executable, "-m", "local.runner"),
        cwd=CHECKOUT,
        env={**os.environ, "LEADLINE_STATE": str(system.state.root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert system.run["processes"] == before


def _healthz_s(system: System) -> float:
    """How long a check of every part takes now."""
    eventually(system.is_well, 120, "all is well before")
    time.sleep(CACHED_S)  # the next answer is a new one
    return system.request("GET", "/healthz").elapsed.total_seconds()


def _failing(system: System) -> list[str]:
    _, health = system.health()
    return list(health.get("failing", []))


def _is_well(system: System) -> bool:
    """Whether every part is healthy; false while the edge itself is down."""
    try:
        return system.is_well()
    except OSError:
        return False


def test_no_process_is_a_zombie_or_left_from_a_kill(system: System) -> None:
    eventually(system.is_well, 120, "all is well")
    eventually(lambda: not _unlisted(system), 120, "every process belongs to a listed one")


def _unlisted(system: System) -> list[psutil.Process]:
    """Processes of the system that neither are in run.json nor descend from one that is."""
    pids = set(system.run["processes"].values())
    found = []
    for process in system.processes():
        with contextlib.suppress(psutil.NoSuchProcess):  # a session of Postgres ends at any time
            ancestry = {process.pid, *(parent.pid for parent in process.parents())}
            if not pids & ancestry and DAEMON not in process.cmdline():
                found.append(process)
    return found
