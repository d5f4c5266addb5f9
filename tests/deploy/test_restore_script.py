"""scripts/restore: what it starts, and what it leaves stopped, when a step fails.

Here `docker` is a script that records how it is called. The real restore of a dump is shown by
tests/containers.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy.manifests import CHECKOUT

_DOCKER = """\
#!/bin/bash
shift 3  # compose -f FILE
echo "$*" >> "$CALLS"
case "$*" in
  "ps -q --status running postgres") echo container ;;
  "ps --services --status running") printf '%s\\n' $RUNNING ;;
  *"pg_restore --list") echo "1; 2 TABLE public events leadline" ;;
esac
case "$*" in *"$FAILS"*) exit 1 ;; esac
"""
SERVERS = "postgres redis rabbitmq bitrix24"
START = "up -d --wait"


def restore(folder: Path, *, fails: str, running: str) -> tuple[int, list[str]]:
    """The script's exit code and its calls of docker compose; those with the text `fails` fail."""
    docker, dump, calls = folder / "docker", folder / "leadline.dump", folder / "calls"
    docker.write_text(_DOCKER, encoding="utf-8")
    docker.chmod(0o755)
    dump.touch()
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(calls)}
    result = subprocess.run(
        [CHECKOUT / "scripts/restore", dump],
        input="y\n",
        env={**os.environ, **environment, "FAILS": fails, "RUNNING": running},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, calls.read_text(encoding="utf-8").splitlines()


def test_everything_is_started_after_a_new_history_has_begun(tmp_path: Path) -> None:
    code, calls = restore(tmp_path, fails="nothing", running=f"edge worker {SERVERS}")
    assert code == 0
    assert "stop edge worker" in calls
    (history,) = (number for number, call in enumerate(calls) if "leadline restored" in call)
    assert history < calls.index(START)


def test_a_refused_dump_changes_nothing_and_the_system_runs_again(tmp_path: Path) -> None:
    code, calls = restore(tmp_path, fails="pg_restore -U", running=f"edge {SERVERS}")
    assert code == 1
    assert calls[-1] == START


@pytest.mark.parametrize("fails", ["run --rm migrate", "leadline restored"])
def test_nothing_starts_on_a_restored_ledger_without_a_new_history(
    tmp_path: Path, fails: str
) -> None:
    code, calls = restore(tmp_path, fails=fails, running=f"edge {SERVERS}")
    assert code != 0
    assert START not in calls


def test_a_second_run_leaves_the_servers_running(tmp_path: Path) -> None:
    code, calls = restore(tmp_path, fails="nothing", running=SERVERS)
    assert code == 0
    assert not [call for call in calls if call.startswith("stop")]
