"""`leadline tail` and `status --watch`, as processes: they follow until Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leadline.ledger import write
from leadline.runtime.postgres import pool
from leadline.users.model import NewUser
from tests.integration.conftest import close_idle_connections

CHECKOUT = Path(__file__).parents[2]
#: Resets the handling of Ctrl-C, which a process in the background of a shell ignores.
_PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from leadline.cli.main import main
main()
"""


@pytest.fixture(autouse=True)
def connected(
    in_postgres: str,
    in_redis: str,
    amqp_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    assert in_postgres
    assert in_redis
    monkeypatch.setenv("AMQP_URL", amqp_url)
    monkeypatch.setenv("LEADLINE_STATE", str(tmp_path))


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command of `leadline` in its own process until the block ends."""
    process = subprocess.Popen(
        (sys.executable, "-c", _PROGRAM, *words),
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def read_lines(process: subprocess.Popen[str], number: int) -> list[str]:
    assert process.stdout
    return [process.stdout.readline() for _ in range(number)]


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Press Ctrl-C; returns the exit code and what was written to stderr."""
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def create() -> int:
    return write.create(NewUser(full_name="Ann", phone="+77001112233"), key=None).event.user.id


def test_the_status_is_repeated_until_it_is_interrupted() -> None:
    with running("status", "--watch", "--every", "1", "--json") as process:
        first, second = (json.loads(line) for line in read_lines(process, 2))
        assert first["ledger"] == second["ledger"]
        assert second["at"] > first["at"]
        assert interrupt(process) == (130, "")


def test_new_events_are_followed_until_it_is_interrupted() -> None:
    before = create()
    with running("tail", "--since", "1h", "--every", "0.2", "--json") as process:
        (first,) = (json.loads(line) for line in read_lines(process, 1))
        assert (first["user_id"], first["step"]) == (before, "accepted")
        after = create()
        (second,) = (json.loads(line) for line in read_lines(process, 1))
        assert (second["user_id"], second["step"]) == (after, "accepted")
        assert interrupt(process) == (130, "")


def test_a_lost_connection_to_postgres_loses_no_event(postgres: str) -> None:
    first = create()
    with running("tail", "--since", "1h", "--every", "0.2", "--json") as process:
        assert json.loads(read_lines(process, 1)[0])["user_id"] == first
        for _ in range(3):  # also while the command reconnects
            end_connections(postgres)
        second = create()
        assert json.loads(read_lines(process, 1)[0])["user_id"] == second
        code, errors = interrupt(process)
        assert (code, "Traceback" in errors) == (130, False)


def end_connections(postgres: str) -> None:
    """End every connection to the database, as a failover does."""
    close_idle_connections()
    owner = pool.Database(postgres)
    owner.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    owner.close()


def test_a_closed_pipe_ends_the_command_quietly() -> None:
    create()
    with running("tail", "--since", "1h", "--every", "0.2") as process:
        read_lines(process, 1)
        assert process.stdout
        process.stdout.close()
        create()
        assert process.wait(60) in {0, 1}
        assert process.stderr
        assert process.stderr.read() == ""
