"""The journal: each request and its outcome, also after the emulator was killed."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.emulator_process import start


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def lines(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]


def lines_of(journal: Path, what: str) -> list[dict[str, Any]]:
    return [line for line in lines(journal) if line["what"] == what]


def test_a_batch_is_recorded_from_its_arrival_to_its_answer(tmp_path: Path, journal: Path) -> None:
    emulator = start(tmp_path / "state", "--journal", str(journal))
    emulator.batch({"one": "crm.lead.add?fields[TITLE]=A", "two": "crm.lead.update?id=99"})
    emulator.stop(signal.SIGKILL)
    arrived, asked, add, update, answered = lines(journal)
    assert (arrived["address"], arrived["code"]) == ("127.0.0.1", "local-webhook-code")
    assert [command["method"] for command in asked["commands"]] == [
        "crm.lead.add",
        "crm.lead.update",
    ]
    assert asked["commands"][0]["params"] == {"fields": {"TITLE": "A"}}
    assert asked["fault"] is None
    assert (add["key"], add["lead"]) == ("one", 1)
    assert update["key"] == "two"
    assert "error" in update
    assert answered["status"] == 200
    assert len({line["request"] for line in lines(journal)}) == 1
    assert [line["at"] for line in lines(journal)] == sorted(line["at"] for line in lines(journal))


def test_a_single_call_is_recorded_as_a_command_without_a_key(
    tmp_path: Path, journal: Path
) -> None:
    emulator = start(tmp_path / "state", "--journal", str(journal))
    emulator.add(TITLE="A")
    emulator.post("crm.lead.delete", {"id": 1})
    emulator.post("crm.lead.get", {"id": 1})
    emulator.stop()
    assert [(line["key"], line.get("lead")) for line in lines_of(journal, "ran")] == [
        ("", 1),
        ("", 1),
        ("", None),
    ]


def test_a_refused_request_is_recorded_without_commands(tmp_path: Path, journal: Path) -> None:
    emulator = start(tmp_path / "state", "--journal", str(journal))
    emulator.set(burst=1, rate_per_s=0.001)
    for _ in range(2):
        emulator.post("profile")
    emulator.stop()
    assert len(lines_of(journal, "arrived")) == 2
    assert len(lines_of(journal, "asked")) == 1
    assert lines_of(journal, "answered")[1]["error"] == "QUERY_LIMIT_EXCEEDED"


def test_a_request_that_runs_after_its_connection_broke_is_recorded(
    tmp_path: Path, journal: Path
) -> None:
    emulator = start(tmp_path / "state", "--journal", str(journal))
    emulator.fault("crm.lead.add", "late_commit", delay_ms=100, silent=True)
    with pytest.raises(OSError, match="aborted"):
        emulator.post("crm.lead.add")
    emulator.stop()
    (asked,), (ran,), (answered,) = (
        lines_of(journal, what) for what in ("asked", "ran", "answered")
    )
    assert asked["fault"]["action"] == "late_commit"
    assert ran["lead"] == 1
    assert answered["status"] == 0


def test_a_new_process_gives_requests_other_ids(tmp_path: Path, journal: Path) -> None:
    for _ in range(2):
        emulator = start(tmp_path / "state", "--journal", str(journal))
        emulator.post("profile")
        emulator.stop()
    assert len({line["request"] for line in lines_of(journal, "arrived")}) == 2
