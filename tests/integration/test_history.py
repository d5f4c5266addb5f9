"""A Postgres that lost its newest transactions: it is detected, and the lost history is ignored."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pg8000.native
import pytest
import sqlalchemy
import structlog

from leadline import process
from leadline.errors import BadMessage
from leadline.ledger import bulk_import, outbox, relay, settle, write
from leadline.ledger.event import Event, IdempotencyKey
from leadline.ledger.resync import resync_events
from leadline.ledger.resync.resync_events import ResyncRequest
from leadline.ledger.settle import ReceivedReply
from leadline.messages.contract import Reply
from leadline.runtime.once_per_interval import Interval
from leadline.runtime.postgres import installation, pool
from leadline.runtime.postgres.migrate import migrate
from leadline.users.model import Move, NewUser
from leadline.workqueue import postgres_rollback
from local.runner.servers.postgres import Postgres, binary
from tests.integration.conftest import close_idle_connections, execute, in_threads, rows
from tests.integration.test_relay import take_messages
from tests.servers import PrivateServer, private

ANN = NewUser(full_name="Ann", phone="+77001112233", stage="NEW")
#: How many ids a new history skips, as the lost one may have assigned them.
GAP = 1_000_000

UseDatabase = Callable[[str], None]


@pytest.fixture
def use_database(monkeypatch: pytest.MonkeyPatch) -> UseDatabase:
    """Has this process use another database, as if it had lost its connections."""

    def use(url: str) -> None:
        close_idle_connections()
        process.forget(pool.database)
        monkeypatch.setenv("DATABASE_URL", url)

    return use


@contextmanager
def running(folder: Path) -> Iterator[PrivateServer]:
    """A Postgres that runs during the block; the test may stop it before."""
    server = private("postgres", folder)
    server.start()
    try:
        yield server
    finally:
        if server.is_running():
            server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    with running(tmp_path_factory.mktemp("forked-postgres")) as server:
        migrate(server.url)
        yield server


def functions_url(server: PrivateServer, name: str = "leadline") -> str:
    """The URL of a database with the functions' login, which owns nothing."""
    assert isinstance(server.server, Postgres)
    return url_of(server.server.functions_url, name)


def url_of(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    parts = sqlalchemy.make_url(url).set(database=name)
    return str(parts.render_as_string(hide_password=False))


@contextmanager
def owner_connection(
    server: PrivateServer, name: str = "leadline"
) -> Iterator[pg8000.native.Connection]:
    """A connection as the owner of the database."""
    parts = sqlalchemy.make_url(server.url)
    with pg8000.native.Connection(
        parts.username,
        host=parts.host,
        port=parts.port or 5432,
        database=name,
        password=parts.password,
        ssl_context=False,
    ) as connection:
        yield connection


@pytest.fixture
def fresh(server: PrivateServer) -> Iterator[str]:
    """The name of an empty, migrated database."""
    with owner_connection(server) as connection:
        connection.run("CREATE DATABASE fresh")
    migrate(url_of(server.url, "fresh"))
    yield "fresh"
    with owner_connection(server) as connection:
        connection.run("DROP DATABASE IF EXISTS fresh WITH (FORCE)")
        connection.run("DROP DATABASE IF EXISTS restored WITH (FORCE)")


def create() -> Event:
    return write.create(ANN, key=None).event


def move(event: Event, stage: str) -> Event:
    return write.change(event.user.id, Move(stage=stage), expected_version=None, key=None).event


def run_tool(server: PrivateServer, name: str, *words: str) -> None:
    """Run a program of Postgres as the owner."""
    parts = sqlalchemy.make_url(server.url)
    options = ("-h", str(parts.host), "-p", str(parts.port), "-U", str(parts.username))
    subprocess.run(
        (binary(name), *options, *words),
        check=True,
        env={"PGPASSWORD": str(parts.password)},
        timeout=60,
    )


@contextmanager
def capture_forks() -> Iterator[list[Any]]:
    """The log lines about forks of the history; complete when the block ends."""
    forks: list[Any] = []
    with structlog.testing.capture_logs() as lines:
        yield forks
    forks += [line for line in lines if line["event"] == "history of Postgres forked"]


def check_lost(survivor: Event, lost_move: Event, lost_user: Event) -> None:
    """Check that a version may be assigned in two histories, and an id only once."""
    with capture_forks() as noticed:
        moved, new_user = move(survivor, "PROCESSED"), create()
    assert moved.version == lost_move.version
    assert (moved.history or 0) > (lost_move.history or 0) > 0
    assert new_user.history == moved.history
    assert new_user.user.id >= lost_user.user.id + GAP
    assert len(noticed) == 1


def test_a_standby_without_the_newest_transactions_is_promoted(
    tmp_path: Path, use_database: UseDatabase
) -> None:
    with running(tmp_path / "primary") as primary:
        migrate(primary.url)
        use_database(functions_url(primary))
        survivor = create()
        run_tool(primary, "pg_basebackup", "-R", "-c", "fast", "-D", str(tmp_path / "copy"))
        with running(
            state_folder_with(tmp_path / "standby", tmp_path / "copy", primary)
        ) as standby:
            standby.stop()
            lost_move, lost_user = move(survivor, "JUNK"), create()
            primary.kill(signal.SIGQUIT)
            standby.start()
            with owner_connection(standby) as connection:
                assert connection.run("SELECT pg_is_in_recovery(), pg_promote()") == [[True, True]]
            use_database(functions_url(standby))
            check_lost(survivor, lost_move, lost_user)


def state_folder_with(folder: Path, data: Path, of: PrivateServer) -> Path:
    """Move this data into a new state folder, with the passwords of its server."""
    shutil.copytree(of.state.root / "passwords", folder / "passwords")
    data.rename(folder / "postgres")
    return folder


def test_a_dump_is_restored_into_another_database(
    server: PrivateServer, fresh: str, use_database: UseDatabase, tmp_path: Path
) -> None:
    use_database(functions_url(server, fresh))
    survivor = create()
    dump = str(tmp_path / "dump")
    run_tool(server, "pg_dump", "-Fc", "-f", dump, fresh)
    lost_move, lost_user = move(survivor, "JUNK"), create()
    with owner_connection(server) as connection:
        connection.run("CREATE DATABASE restored")
    run_tool(server, "pg_restore", "--exit-on-error", "-d", "restored", dump)
    use_database(functions_url(server, "restored"))
    check_lost(survivor, lost_move, lost_user)


def test_a_dump_is_restored_in_place(
    server: PrivateServer, fresh: str, use_database: UseDatabase, tmp_path: Path
) -> None:
    use_database(functions_url(server, fresh))
    survivor = create()
    dump = str(tmp_path / "dump")
    run_tool(server, "pg_dump", "-Fc", "-f", dump, fresh)
    lost_move, lost_user = move(survivor, "JUNK"), create()
    restore_options = ("--clean", "--if-exists", "--exit-on-error", "--single-transaction")
    run_tool(server, "pg_restore", *restore_options, "-d", fresh, dump)
    check_lost(survivor, lost_move, lost_user)


@pytest.fixture
def restored_folder(
    tmp_path: Path, use_database: UseDatabase
) -> Iterator[tuple[Event, Event, Event]]:
    """Replace Postgres' data folder by an older copy.

    Returns a user that the copy contains, and what it lacks: the user's move, and another user.
    """
    with running(tmp_path / "postgres") as server:
        migrate(server.url)
        use_database(functions_url(server))
        survivor = create()
        postgres_rollback.detect()
        server.stop()
        data, copy = server.state.root / "postgres", tmp_path / "copy"
        shutil.copytree(data, copy)
        server.start()
        use_database(functions_url(server))
        lost_move, lost_user = move(survivor, "JUNK"), create()
        postgres_rollback.detect()
        server.stop()
        shutil.rmtree(data)
        copy.rename(data)
        server.start()
        use_database(functions_url(server))
        yield survivor, lost_move, lost_user


@pytest.fixture
def at_each_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the relay check for a rollback at each tick."""
    monkeypatch.setattr(postgres_rollback, "_checks", Interval(0))


@pytest.mark.usefixtures("in_redis", "at_each_tick")
def test_a_data_folder_is_restored_and_redis_knows_newer_versions(
    restored_folder: tuple[Event, Event, Event],
) -> None:
    survivor, lost_move, lost_user = restored_folder
    postgres_rollback.detect()
    moved, new_user = move(survivor, "PROCESSED"), create()
    assert moved.version == lost_move.version
    assert (moved.history or 0) > (lost_move.history or 0)
    assert new_user.user.id >= lost_user.user.id + GAP


def test_a_data_folder_is_restored_and_a_reply_reveals_it(
    restored_folder: tuple[Event, Event, Event],
) -> None:
    survivor, lost_move, lost_user = restored_folder
    with capture_forks() as noticed, pytest.raises(BadMessage, match="Postgres has lost"):
        settle.apply([reply_to(lost_move)])
    assert len(noticed) == 1
    moved = move(survivor, "PROCESSED")
    assert (moved.history or 0) > (lost_move.history or 0)
    assert create().user.id >= lost_user.user.id + GAP


def test_a_data_folder_is_restored_and_a_reply_reveals_a_lost_user(
    restored_folder: tuple[Event, Event, Event],
) -> None:
    _, _, lost_user = restored_folder
    with capture_forks() as noticed, pytest.raises(BadMessage):
        settle.apply([reply_to(lost_user)])
    assert len(noticed) == 1
    assert create().user.id >= lost_user.user.id + GAP


def reply_to(event: Event, **extra: Any) -> ReceivedReply:
    """The reply to an event whose state was applied."""
    fields = {"action": event.action, "user_id": event.user.id, "event_id": event.id}
    success = {"status": "success", "bitrix_lead_id": 5, "version": event.version}
    history = extra.pop("history", event.history)
    return ReceivedReply(
        Reply(**{**fields, **success, **extra}), outcome="synced", history=str(history)
    )


# --- Every kind of write ------------------------------------------------------------------------


Fork = Callable[[], None]


def history() -> int:
    return int(rows("SELECT history FROM installation")[0]["history"])


WRITES: dict[str, Callable[[Event], object]] = {
    "create": lambda _: create(),
    "create under a key": lambda _: write.create(
        ANN, IdempotencyKey(caller="a", key="k", fingerprint=b"f")
    ),
    "change": lambda event: move(event, "JUNK"),
    "change under a key": lambda event: write.change(
        event.user.id,
        Move(stage="JUNK"),
        expected_version=1,
        key=IdempotencyKey(caller="a", key="k", fingerprint=b"f"),
    ),
    "resync": lambda event: resync_events.request(
        [ResyncRequest(event.user.id, version=1, force=True)]
    ),
    "import": lambda _: bulk_import.create(
        [("one", bulk_import.Line(full_name="A", phone="+77001112233"))]
    ),
    "import with ids": lambda _: bulk_import.create(
        [("one", bulk_import.Line(id=9, full_name="A", phone="+77001112233"))]
    ),
}


@pytest.mark.parametrize("make", WRITES.values(), ids=WRITES)
def test_every_write_belongs_to_the_new_history(
    fork_history: Fork, make: Callable[[Event], object]
) -> None:
    event = create()
    before = history()
    fork_history()
    with capture_forks() as noticed:
        make(event)
    assert len(noticed) == 1
    assert history() > before
    (events,) = rows("SELECT count(*) AS events FROM events")
    assert events == {"events": 2}, "the write was repeated, and counts once"


def test_no_message_names_the_lost_history(fork_history: Fork, in_rabbitmq: str) -> None:
    event = create()
    fork_history()
    execute("UPDATE events SET due_at = now()")
    relay.run()
    headers = [properties.headers for properties in take_messages(in_rabbitmq)]
    histories = {header["ce-history"] for header in headers if "ce-history" in header}
    assert histories == {str(history())}
    assert history() > (event.history or 0)
    assert {header["ce-originator"] for header in headers} == {event.originator_id}


def test_an_event_older_than_its_user_does_not_name_the_new_history(
    fork_history: Fork, in_rabbitmq: str
) -> None:
    """Under the new history, its state would replace the user's newer one, which is not lost."""
    older = create()
    fork_history()
    move(older, "JUNK")
    execute("UPDATE events SET due_at = now()")
    relay.run()
    histories = {
        message.message_id: message.headers.get("ce-history")
        for message in take_messages(in_rabbitmq)
    }
    (newest,) = rows("SELECT id FROM events ORDER BY version DESC LIMIT 1")
    assert histories.pop(str(newest["id"])) == str(history())
    assert older.id in histories
    assert set(histories.values()) == {None}


def test_one_of_many_threads_that_detect_a_fork_begins_the_new_history(fork_history: Fork) -> None:
    create()
    fork_history()
    with capture_forks() as noticed:
        events = in_threads(8, lambda _: create())
    assert len(noticed) == 1
    assert {event.history for event in events} == {history()}
    assert len({event.user.id for event in events}) == 8
    assert min(event.user.id for event in events) >= GAP


def test_a_clock_that_was_set_back_begins_no_older_history(fork_history: Fork) -> None:
    create()
    late = int(time.time() * 1000) + 3_600_000
    assert installation.begin_history(lost=late) == late + 1
    fork_history()
    assert (create().history or 0) == late + 2


def test_a_version_belongs_to_the_history_that_the_message_names(in_postgres: str) -> None:
    assert in_postgres
    event = create()
    headers = outbox.to_message(event).headers
    assert headers["ce-history"] == str(history())
    assert (
        headers["ce-originator"]
        == rows("SELECT originator_id FROM installation")[0]["originator_id"]
    )


def test_the_setting_overrides_the_databases_own_originator(
    in_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_postgres
    monkeypatch.setenv("LEADLINE_ORIGINATOR_ID", "acme")
    assert outbox.to_message(create()).headers["ce-originator"] == "acme"
