"""The connection to Postgres: transient errors are DatabaseDown, all others a StatementError."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pg8000.native
import pytest
import sqlalchemy
from alembic.script import ScriptDirectory

from leadline.errors import BadConfiguration, DatabaseDown
from leadline.runtime.concurrency import greenlets
from leadline.runtime.postgres import connection
from leadline.runtime.postgres.migrate import MIGRATIONS, migrate, newest
from leadline.runtime.postgres.pool import Database, StatementError, StatementTimeout
from tests.integration.conftest import GreenletDatabase, in_greenlets
from tests.servers import PrivateServer, eventually, private


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    server = private("postgres", tmp_path_factory.mktemp("own-postgres"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=[Database, GreenletDatabase])
def db(server: PrivateServer, request: pytest.FixtureRequest) -> Iterator[Database]:
    database: Database = request.param(server.url)
    yield database
    database.close()


def as_admin(url: str, sql: str) -> list[list[object]]:
    """The rows of a statement, run on a connection of its own."""
    parts = sqlalchemy.make_url(url)
    with pg8000.native.Connection(
        parts.username,
        host=parts.host,
        port=parts.port,
        database=parts.database,
        password=parts.password,
        ssl_context=False,
    ) as plain:
        found: list[list[object]] = plain.run(sql)
        return found


UNIQUE_VIOLATION = "23505"
# The second argument is how many milliseconds to wait for the end of the session.
END_SESSIONS = (
    "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
    " WHERE application_name = 'leadline'"
)


def test_rows_come_as_dictionaries(db: Database) -> None:
    rows = db.run("SELECT 1 AS one, CAST(:text AS text) AS text", text="Иван 🙂'; DROP TABLE users")
    assert rows == [{"one": 1, "text": "Иван 🙂'; DROP TABLE users"}]


def test_the_servers_log_does_not_quote_the_row_that_violated_a_constraint(
    db: Database, server: PrivateServer
) -> None:
    as_admin(server.url, "CREATE TABLE IF NOT EXISTS adults (name text, age int CHECK (age >= 18))")
    with pytest.raises(StatementError):
        db.run("INSERT INTO adults VALUES (:name, 17)", name="Иван Иванов")
    (log,) = (path.read_text("utf-8") for path in server.state.logs.glob("postgres.log"))
    assert "adults_age_check" in log
    assert "Иван" not in log


def test_a_connection_cut_while_idle_is_replaced_silently(
    db: Database, server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CHECK_AFTER_S", 0)
    db.run("SELECT 1 AS one")
    assert as_admin(server.url, END_SESSIONS)
    assert db.run("SELECT 1 AS one") == [{"one": 1}]


def test_after_a_restart_of_the_server_statements_work_again(
    db: Database, server: PrivateServer
) -> None:
    db.run("SELECT 1 AS one")
    server.restart()
    assert db.run("SELECT 1 AS one") == [{"one": 1}]


def test_a_stopped_server_is_down_and_recovers(db: Database, server: PrivateServer) -> None:
    db.run("SELECT 1 AS one")
    server.stop()
    for _ in range(2):
        with pytest.raises(DatabaseDown):
            db.run("SELECT 1 AS one")
    server.start()
    assert db.run("SELECT 1 AS one") == [{"one": 1}]


def test_a_hanging_connection_is_given_up_and_not_reused(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "STATEMENT_TIMEOUT_S", -1)  # clients add 2 s: they wait for 1 s
    # New connections must not send `SET statement_timeout`: the server itself would end statements.
    monkeypatch.setattr("pg8000.native.Connection.run", lambda *_: None)
    (row,) = db.run("SELECT pg_backend_pid() AS pid")
    os.kill(row["pid"], signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(DatabaseDown):
        db.run("SELECT 2 AS stale")
    assert time.monotonic() - began < 60
    assert db.run("SELECT 1 AS one") == [{"one": 1}]
    os.kill(row["pid"], signal.SIGCONT)


def test_an_unresponsive_server_is_down_within_the_time_out(
    db: Database, server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(connection, "CONNECT_TIMEOUT_S", 0.3)
        server.freeze()
        try:
            with pytest.raises(DatabaseDown):
                db.run("SELECT 1 AS one")
        finally:
            server.thaw()
    assert db.run("SELECT 1 AS one") == [{"one": 1}]


def test_a_read_only_database_is_down_and_not_a_statement_error(
    db: Database, server: PrivateServer
) -> None:
    as_admin(server.url, "CREATE TABLE IF NOT EXISTS numbers (number int)")
    db.run("SET default_transaction_read_only = on")
    with pytest.raises(DatabaseDown):
        db.run("INSERT INTO numbers VALUES (1)")
    assert db.run("INSERT INTO numbers VALUES (1) RETURNING number") == [{"number": 1}]


def test_a_rejected_statement_reports_its_code_and_constraint_but_no_value(
    db: Database, server: PrivateServer
) -> None:
    as_admin(server.url, "CREATE TABLE IF NOT EXISTS people (name text CONSTRAINT one_name UNIQUE)")
    db.run("INSERT INTO people VALUES ('Ivanka') ON CONFLICT DO NOTHING")
    with pytest.raises(StatementError) as caught:
        db.run("INSERT INTO people VALUES (:name)", name="Ivanka")
    assert (caught.value.code, caught.value.constraint) == (UNIQUE_VIOLATION, "one_name")
    assert "Ivanka" not in str(caught.value)
    assert db.run("SELECT 1 AS one") == [{"one": 1}]


def test_an_abandoned_connection_is_closed(db: Database, server: PrivateServer) -> None:
    (row,) = db.run("SELECT pg_backend_pid() AS pid")
    with pytest.raises(DatabaseDown):  # a transient one: the next attempt has a new connection
        db.run("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
    sessions = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {row['pid']}"  # noqa: S608 - ours
    eventually(lambda: as_admin(server.url, sessions) == [[0]], 60, "its backend has ended")


def test_a_slow_statement_is_cancelled_and_the_connection_stays_usable(
    server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "STATEMENT_TIMEOUT_S", 1)
    db = Database(server.url)
    (row,) = db.run("SELECT pg_backend_pid() AS pid")
    with pytest.raises(StatementTimeout, match="took too long"):
        db.run("SELECT pg_sleep(60)")
    assert db.run("SELECT pg_backend_pid() AS pid") == [row]
    db.close()


def test_a_missing_parameter_is_a_defect_and_not_a_lost_server(db: Database) -> None:
    db.run("SELECT 1 AS one")
    with pytest.raises(TypeError, match="text"):
        db.run("SELECT CAST(:text AS text) AS text", other="geheim")
    assert db.run("SELECT 1 AS one") == [{"one": 1}]


def test_greenlets_wait_for_postgres_concurrently_each_on_its_own_connection(
    server: PrivateServer,
) -> None:
    db = Database(server.url)
    sql = "SELECT pg_backend_pid() AS pid, CAST(:number AS int) AS number FROM pg_sleep(0.05)"
    found = in_greenlets(3 * greenlets.threads(), lambda number: db.run(sql, number=number)[0])
    assert [row["number"] for row in found] == list(range(3 * greenlets.threads()))
    assert 1 < len({row["pid"] for row in found}) <= greenlets.threads()
    db.close()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter2@h/d",
        "hunter2",
        "postgresql://[hunter2",
        "postgresql://",
        "postgresql://u:hunter2@h:x/d",
    ],
)
def test_an_invalid_url_is_not_quoted(url: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        Database(url)
    assert "hunter2" not in str(caught.value)


def test_concurrent_migrations_apply_each_step_once(server: PrivateServer) -> None:
    as_admin(server.url, "CREATE DATABASE fresh")
    url = str(
        sqlalchemy.make_url(server.url).set(database="fresh").render_as_string(hide_password=False)
    )
    with ThreadPoolExecutor(3) as pool:
        revisions = set(pool.map(migrate, [url] * 3))
    assert len(revisions) == 1
    assert as_admin(url, "SELECT count(*) FROM users") == [[0]]
    as_admin(url, "INSERT INTO users (full_name, phone, stage) VALUES ('A', '+77001112233', 'NEW')")
    assert {migrate(url)} == revisions
    assert as_admin(url, "SELECT count(*) FROM users") == [[1]]


def test_the_newest_migration_is_known_without_the_migration_tool() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert scripts.get_current_head() == newest()
