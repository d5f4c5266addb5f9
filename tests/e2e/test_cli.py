"""The command line against a running system, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults import wire
from tests.servers import eventually
from tests.system import CHECKOUT, System

CONNECTIONS = ("DATABASE_URL", "AMQP_URL", "REDIS_URL", "BITRIX_WEBHOOK_URL")


def leadline(system: System, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command with no setting but where the local run is."""
    clean = {name: value for name, value in os.environ.items() if name not in CONNECTIONS}
    return subprocess.run(
        (sys.executable, "-m", "leadline", *words),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=CHECKOUT,
        env={**clean, "LEADLINE_STATE": str(system.state.root), **env},
    )


def dead_letters(system: System) -> list[dict[str, Any]]:
    answer = leadline(system, "dead-letters", "list", "--json")
    assert answer.returncode == 0, answer.stderr
    return list(json.loads(answer.stdout)["dead_letters"])


def test_a_local_run_is_found_and_its_dead_letters_replayed_while_it_works(
    system: System,
) -> None:
    with wire.plugged_in(system) as plugged:
        plugged.publish({"pattern": "user_created"})
        eventually(lambda: dead_letters(system), 20, "the nonsense is a dead letter")
        (before,) = dead_letters(system)
        assert before["queue"] == "bitrix_queue"
        assert leadline(system, "dead-letters", "replay", before["id"]).returncode == 0
        eventually(lambda: dead_letters(system), 20, "it is nonsense still, and died again")
        (again,) = dead_letters(system)
        assert again["attempts"] == 1
        assert leadline(system, "dead-letters", "discard", "--all", "--yes").returncode == 0
        assert dead_letters(system) == []


def test_the_program_beside_python_works_from_anywhere(system: System, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("leadline")
    if not program.exists():
        pytest.skip("this Python is not the one that scripts/venv made")
    answer = subprocess.run(
        (program, "--state", system.state.root, "dead-letters", "list", "--json"),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr


def test_where_nothing_runs_it_says_so(system: System, tmp_path: Path) -> None:
    answer = leadline(system, "--state", str(tmp_path), "dead-letters", "list")
    assert answer.returncode == 3
    assert "nothing runs" in answer.stderr
