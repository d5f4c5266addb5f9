"""`leadline restore`: a dump replaces everything, or nothing is changed."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leadline import process
from leadline.ledger import write
from leadline.runtime.postgres import pool
from leadline.users.model import Move, NewUser, UserId
from local.runner.servers.postgres import binary
from tests.integration.conftest import CommandOutput, close_idle_connections, rows

Leadline = Callable[..., CommandOutput]

ANN = NewUser(full_name="Ann", phone="+77001112233", stage="NEW")
BOB = NewUser(full_name="Bob", phone="+77001112244", stage="NEW")


#: Skips all tests if DATABASE_URL names the server: it may be newer than our pg_dump, which would
#: then refuse to read it.
pytestmark = pytest.mark.usefixtures("functions_login")


@pytest.fixture(autouse=True)
def connected(
    in_postgres: str,
    in_redis: str,
    webhook_url: str,
    _postgres_urls: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Connect all servers, with the owner's URL as for a migration."""
    assert in_postgres
    assert in_redis
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    monkeypatch.setenv("DATABASE_URL", _postgres_urls[0])


@pytest.fixture
def ann() -> UserId:
    return create(ANN)


@pytest.fixture
def dump(ann: UserId, tmp_path: Path) -> Path:
    """A dump with Ann as the only user, as NEW; afterwards she was moved, and Bob was created."""
    file = tmp_path / "leadline.dump"
    url = urlsplit(os.environ["DATABASE_URL"])
    subprocess.run(
        (binary("pg_dump"), "--format=custom", f"--file={file}", url.geturl()),
        check=True,
        timeout=60,
    )
    write.change(ann, Move(stage="JUNK"), expected_version=None, key=None)
    create(BOB)
    disconnect()
    return file


def create(user: NewUser) -> UserId:
    return write.create(user, key=None).event.user.id


def disconnect() -> None:
    """Close this process's connections, which would prevent a restore."""
    close_idle_connections()
    process.forget(pool.database)


def names_and_stages() -> list[tuple[str, str]]:
    """The name and stage of each user; leaves no connection open."""
    found = [(row["full_name"], row["stage"]) for row in rows("SELECT * FROM users ORDER BY id")]
    disconnect()
    return found


def test_a_restore_returns_the_state_of_the_dump_and_assigns_no_id_twice(
    leadline: Leadline, dump: Path, ann: UserId
) -> None:
    before = [row["history"] for row in rows("SELECT history FROM installation")]
    disconnect()
    output = leadline("restore", dump, "--yes", "--json")
    assert (output.code, output.json["greatest_id_on_a_lead"]) == (0, 0), output.err
    assert names_and_stages() == [("Ann", "NEW")]
    assert [row["history"] for row in rows("SELECT history FROM installation")] > before
    assert create(BOB) > ann + 1, "Bob's id may be on a lead"


def test_a_restore_is_refused_while_others_may_write(
    leadline: Leadline, dump: Path, database_url: str
) -> None:
    other = pool.Database(database_url)
    other.run("SELECT 1 AS one")
    output = leadline("restore", dump, "--yes")
    assert output.code == 3
    assert f"{urlsplit(database_url).username} (1)" in output.err
    other.close()
    assert len(names_and_stages()) == 2


def test_a_restore_rejects_a_file_that_is_not_a_dump_of_leadline(
    leadline: Leadline, tmp_path: Path
) -> None:
    create(ANN)
    disconnect()
    damaged, foreign = tmp_path / "damaged", tmp_path / "foreign"
    damaged.write_bytes(b"no dump")
    subprocess.run(
        (
            binary("pg_dump"),
            "--format=custom",
            "--schema-only",
            "--table=alembic_version",
            f"--file={foreign}",
            os.environ["DATABASE_URL"],
        ),
        check=True,
        timeout=60,
    )
    for file in (damaged, foreign):
        output = leadline("restore", file, "--yes")
        assert output.code == 3
        assert "Traceback" not in output.err
    assert len(names_and_stages()) == 1


def test_a_restore_needs_the_login_of_the_owner(
    leadline: Leadline, dump: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    output = leadline("restore", dump, "--yes")
    assert output.code == 3
    assert "nothing was changed" in output.err
    assert (urlsplit(database_url).password or "?") not in output.err
    assert len(names_and_stages()) == 2


def test_without_the_option_yes_a_restore_asks_for_confirmation(
    leadline: Leadline, dump: Path
) -> None:
    output = leadline("restore", dump, typed="n\n")
    assert (output.code, "Replace all users" in output.err) == (2, True)
    disconnect()
    assert leadline("restore", dump).code == 2, "without a terminal it can't ask"
    assert len(names_and_stages()) == 2
