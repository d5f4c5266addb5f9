"""Acknowledged writes are durable; start and stop are quick."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.emulator.emulator_process import start


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_leads_ids_and_histories_survive_the_end_of_the_process(
    tmp_path: Path, by: signal.Signals
) -> None:
    state = tmp_path / "state.sqlite3"
    first = start(state)
    first.set(rate_per_s=0)
    for each in range(100):
        first.add(ORIGIN_ID=str(each), PHONE=[{"VALUE": str(each)}])
    first.result("crm.lead.delete", {"id": 100})
    before = first.leads()
    first.stop(by)
    second = start(state)
    assert second.leads() == before
    assert second.add() == 101
    second.stop()


def test_it_stops_within_a_second_whatever_is_in_flight(tmp_path: Path) -> None:
    emulator = start(tmp_path / "state.sqlite3")
    emulator.set(command_ms=50_000)
    emulator.session.get(emulator.base + "/_emulator/settings", timeout=5)
    with pytest.raises(OSError, match="timed out"):
        emulator.post("crm.lead.add", timeout=0.1)
    began = time.monotonic()
    assert emulator.stop() == 0
    assert time.monotonic() - began < 1


def test_an_invalid_state_file_is_reported_plainly(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite3"
    state.write_text("this is no database, however long one looks at it\n" * 100)
    command = [sys.executable, "-m", "emulator", "--state", str(state), "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert ended.returncode == 1
    assert "not a database" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_is_reported_plainly(tmp_path: Path) -> None:
    first = start(tmp_path / "one.sqlite3")
    state, port = str(tmp_path / "two.sqlite3"), first.base.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "emulator", "--state", state, "--port", port]
    second = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    first.stop()
    assert second.returncode == 1
    assert "address already in use" in second.stderr
    assert "Traceback" not in second.stderr
