"""Acknowledged writes are durable; start and stop are quick."""

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.emulator.emulator_process import start


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_leads_ids_and_histories_survive_the_end_of_the_process(
    tmp_path: Path, signal_: signal.Signals
) -> None:
    state = tmp_path / "state.sqlite3"
    first = start(state)
    first.set(rate_per_s=0)
    for number in range(100):
        first.add(ORIGIN_ID=str(number), PHONE=[{"VALUE": str(number)}])
    first.result("crm.lead.delete", {"id": 100})
    before = first.leads()
    first.stop(signal_)
    second = start(state)
    assert second.leads() == before
    assert second.add() == 101
    second.stop()


def test_the_emulator_stops_soon_whatever_is_in_flight(tmp_path: Path) -> None:
    emulator = start(tmp_path / "state.sqlite3")
    emulator.set(command_ms=50_000)
    emulator.abandon("crm.lead.add")
    began = time.monotonic()
    assert emulator.stop() == 0
    assert time.monotonic() - began < 40  # the request in flight would take 50 s


def test_an_invalid_state_file_is_reported_without_a_traceback(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite3"
    state.write_text("this is no database\n" * 100)
    command = [sys.executable, "-m", "emulator", "--state", str(state), "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "not a database" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_in_use_is_reported_without_a_traceback(tmp_path: Path) -> None:
    first = start(tmp_path / "one.sqlite3")
    state = str(tmp_path / "two.sqlite3")
    port = first.base.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "emulator", "--state", state, "--port", port]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    first.stop()
    assert second.returncode == 1
    assert "address already in use" in second.stderr
    assert "Traceback" not in second.stderr


#: The tables of the first version, which had leads and no other objects.
_OLD_FILE = """
CREATE TABLE lead (id INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT NOT NULL);
CREATE TABLE multifield (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lead_id INTEGER NOT NULL,
    type_id TEXT NOT NULL, value_type TEXT NOT NULL, value TEXT NOT NULL, digest TEXT NOT NULL);
CREATE INDEX multifield_lead ON multifield (lead_id);
CREATE TABLE write (
    id INTEGER PRIMARY KEY, lead_id INTEGER NOT NULL,
    time REAL NOT NULL, method TEXT NOT NULL, fields TEXT NOT NULL);
CREATE INDEX write_lead ON write (lead_id);
CREATE TABLE handler (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, url TEXT NOT NULL);
CREATE TABLE offline_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, connector TEXT NOT NULL,
    lead_id INTEGER NOT NULL, time REAL NOT NULL, process_id TEXT);
INSERT INTO lead VALUES (7, '{"NAME": "Gleb", "STATUS_ID": "NEW", "TITLE": "Gleb"}');
INSERT INTO multifield VALUES (3, 7, 'PHONE', 'WORK', '+7700', '7700');
INSERT INTO write VALUES (1, 7, 1.5, 'crm.lead.add', '{}');
"""


def test_a_state_file_of_the_version_that_had_only_leads_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(_OLD_FILE)
    emulator = start(path)
    (lead,) = emulator.leads()
    assert (lead["NAME"], lead["PHONE"][0]["VALUE"], len(lead["history"])) == ("Gleb", "+7700", 1)
    emulator.result("crm.lead.update", {"id": 7, "fields": {"PHONE": [{"ID": 3, "VALUE": "1"}]}})
    assert emulator.get(7)["PHONE"] == [
        {"ID": "3", "VALUE_TYPE": "WORK", "VALUE": "1", "TYPE_ID": "PHONE"}
    ]
    assert emulator.stop() == 0
