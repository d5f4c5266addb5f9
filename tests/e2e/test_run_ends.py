"""`make run` ends cleanly, keeps its data, and cleans up after a runner that was killed."""

import os
import signal
import socket
import time
from collections.abc import Callable

import psutil
import pytest

from local.runner.processes.supervision import DAEMON
from tests.servers import eventually, family
from tests.system import System

#: Ten seconds on a usual machine, see `local.runner.runner`; tests run on slow ones, too.
STOP_WITHIN_S = 60
#: Not the emulator's; nothing listens there.
WEBHOOK = "http://127.0.0.1:1/rest/1/s0mebodys-c0de/"


@pytest.mark.slow("starts, stops, kills and cleans up a system several times")
def test_a_stop_leaves_no_process_and_a_kill_is_cleaned_up(disposable_system: System) -> None:
    """One scenario instead of four tests, as each start takes seconds."""
    system = disposable_system
    user = system.create(full_name="Кто Остаётся")
    lead = system.await_synced(user["id"])["sync"]["bitrix_lead_id"]
    edge = system.url("edge")
    leads = system.leads()
    assert str(lead) in {lead["ID"] for lead in leads}

    begun = time.monotonic()
    assert system.stop() == 0
    assert time.monotonic() - begun < STOP_WITHIN_S
    assert system.processes() == []
    assert not system.state.run_file.exists()

    system.start()
    assert system.url("edge") == edge
    assert system.user(user["id"])["sync"]["bitrix_lead_id"] == lead
    assert system.leads() == leads

    old = {process.pid for process in system.processes()}
    before = _family(system)
    for process in [psutil.Process(_supervisor(system)), system.runner]:
        assert process is not None
        process.kill()
    assert system.runner
    system.runner.wait(60)
    system.env |= {"BITRIX_WEBHOOK_URL": WEBHOOK, "LEADLINE_AUTH": "off"}
    system.start()
    assert not old & {process.pid for process in system.processes()}
    eventually(lambda: not _running(before), 120, "nothing is left of the killed run")
    assert system.user(user["id"])["full_name"] == "Кто Остаётся"
    _check_that_keys_are_off(system)

    before = _family(system)
    os.kill(_supervisor(system), signal.SIGKILL)
    assert system.runner.wait(STOP_WITHIN_S) == 1
    assert system.processes() == []
    eventually(lambda: not _running(before), 120, "nothing is left")
    assert "supervisord is gone" in system.output.read_text(encoding="utf-8")


def _check_that_keys_are_off(system: System) -> None:
    """LEADLINE_AUTH=off was set although there is a real portal; the output says so."""
    system.create(full_name="Без Ключа")
    printed = system.output.read_text(encoding="utf-8")
    everyone = "LEADLINE_AUTH=off: every program on this machine may write to http://127.0.0.1:1"
    assert everyone in printed
    assert "s0mebodys-c0de" not in printed


def _family(system: System) -> list[psutil.Process]:
    """All processes of the run, found by their parents: the runner's own way may miss some."""
    return [process for pid in system.run["processes"].values() for process in family(pid)]


def _running(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [
        process
        for process in processes
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]


def test_a_requested_port_in_use_is_an_error(
    new_system: Callable[..., System],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        system = new_system(PORT=str(port))
        runner = system.launch()
        assert runner.wait(60) == 1
    assert f"PORT={port} is taken" in system.output.read_text(encoding="utf-8")
    eventually(lambda: system.processes() == [], 120, "no process was left running")


def _supervisor(system: System) -> int:
    found = [p.pid for p in system.processes() if DAEMON in p.cmdline()]
    assert len(found) == 1
    return found[0]
