"""Migrations from any schema with data: nothing is lost, and only the owner may run them."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pg8000.native
import pytest
import sqlalchemy
import structlog

from leadline import process
from leadline.runtime.postgres.migrate import migrate, newest
from leadline.runtime.postgres.pool import Database, StatementError
from leadline.settings import settings
from tests.servers import PrivateServer, private

INSUFFICIENT_PRIVILEGE = "42501"

#: One user and event for each state that version 0001 may have stored.
USERS_OF_0001 = """
INSERT INTO users (id, full_name, phone, stage, bitrix_lead_id, synced_version, sync_status,
                   sync_reason, sync_attempts)
VALUES (1, 'A', '+77001112233', 'NEW', NULL, 0, 'waiting', NULL, 0),
       (2, 'B', '+77001112233', 'NEW', 5, 1, 'synced', NULL, 1),
       (3, 'C', '+77001112233', 'NEW', NULL, 0, 'failed', 'no', 3)
"""
EVENTS_OF_0001 = """
INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed, correlation_id,
                    traceparent, state, reason, attempts, published_at, sendings, due_at,
                    settled_at)
SELECT gen_random_uuid(), id, 1, 'create_card', full_name, phone, stage, 'phone', 'c', 't',
       CASE sync_status WHEN 'waiting' THEN 'open' ELSE sync_status END, sync_reason, sync_attempts,
       now(), 1, now(), CASE sync_status WHEN 'waiting' THEN NULL ELSE now() END
FROM users
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    server = private("postgres", tmp_path_factory.mktemp("migrated-postgres"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def fresh(server: PrivateServer) -> Iterator[str]:
    """The URL of an empty database."""
    with _connected(server.url) as admin:
        admin.run("CREATE DATABASE fresh")
        yield _url(server, database="fresh")
        admin.run("DROP DATABASE fresh WITH (FORCE)")


def _url(server: PrivateServer, **parts: str) -> str:
    url = sqlalchemy.make_url(server.url).set(**parts)  # type: ignore[arg-type]
    return str(url.render_as_string(hide_password=False))


def _connected(url: str) -> pg8000.native.Connection:
    parts = sqlalchemy.make_url(url)
    return pg8000.native.Connection(
        parts.username,
        host=parts.host,
        port=parts.port or 5432,
        database=parts.database,
        password=parts.password,
        ssl_context=False,
    )


def _rows(url: str, sql: str) -> list[list[object]]:
    with _connected(url) as connection:
        found: list[list[object]] = connection.run(sql)
        return found


def _fill_0001(url: str) -> None:
    assert migrate(url, "0001") == "0001"
    with _connected(url) as connection:
        connection.run(USERS_OF_0001)
        connection.run(EVENTS_OF_0001)


def test_the_data_of_the_first_schema_is_preserved(fresh: str) -> None:
    _fill_0001(fresh)
    assert migrate(fresh) == newest()
    assert _rows(
        fresh, "SELECT user_id, state, reason, attempts, due_at IS NULL FROM events ORDER BY 1"
    ) == [
        [1, "open", None, 0, False],
        [2, "synced", None, 1, True],
        # Why it failed is not known well enough for an automatic retry.
        [3, "failed", "no", 3, True],
    ]
    assert _rows(fresh, "SELECT count(*) FROM users") == [[3]]


def test_after_a_migration_every_constraint_and_index_is_valid(fresh: str) -> None:
    _fill_0001(fresh)
    migrate(fresh)
    assert _rows(fresh, "SELECT conname FROM pg_constraint WHERE NOT convalidated") == []
    assert _rows(fresh, "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid") == []


def test_after_a_rollback_the_schema_of_the_newer_version_stays(fresh: str) -> None:
    migrate(fresh)
    with _connected(fresh) as connection:
        connection.run("UPDATE alembic_version SET version_num = '9999'")
    assert migrate(fresh) == "9999"


def test_an_interrupted_migration_is_finished_by_the_next_run(fresh: str) -> None:
    _fill_0001(fresh)
    with _connected(fresh) as connection:
        connection.run("ALTER TABLE events ALTER due_at DROP NOT NULL")
        connection.run(
            "ALTER TABLE events ADD CONSTRAINT events_open_is_due CHECK (state <> 'x') NOT VALID"
        )
        connection.run("CREATE INDEX events_due ON events (due_at)")
    assert migrate(fresh) == newest()
    (row,) = _rows(
        fresh,
        "SELECT pg_get_expr(indpred, indrelid) FROM pg_index"
        " WHERE indexrelid = 'events_due'::regclass",
    )
    assert row == ["(due_at IS NOT NULL)"]


def test_users_from_before_the_migration_are_found_by_their_values(fresh: str) -> None:
    _fill_0001(fresh)
    migrate(fresh, "0006")
    with _connected(fresh) as connection:
        # As after an interruption while the tables were filled.
        connection.run("CREATE TABLE user_terms (term text)")
        connection.run("CREATE TABLE users_to_index (user_id bigint)")
        connection.run("CREATE TABLE unsynced_users (user_id bigint)")
        connection.run("INSERT INTO unsynced_users VALUES (2)")
    migrate(fresh)
    assert _rows(fresh, "SELECT * FROM unsynced_users ORDER BY user_id") == [
        ["waiting", 1],
        ["failed", 3],
    ]
    assert _rows(fresh, "SELECT * FROM user_terms ORDER BY kind, user_id") == [
        ["name", "a", 1],
        ["name", "b", 2],
        ["name", "c", 3],
        ["phone", "+77001112233", 1],
        ["phone", "+77001112233", 2],
        ["phone", "+77001112233", 3],
        ["stage", "NEW", 1],
        ["stage", "NEW", 2],
        ["stage", "NEW", 3],
    ]
    assert _rows(fresh, "SELECT * FROM users_to_index") == []


def test_users_from_before_a_migration_are_found_without_accents(fresh: str) -> None:
    migrate(fresh, "0019")
    with _connected(fresh) as connection:
        connection.run(
            "INSERT INTO users (full_name, phone, stage, fields) VALUES"
            " ('Пётр', '+77001112233', 'NEW', NULL), ('Ann', '+77001112233', 'NEW', NULL),"
            " ('Bo', '+77001112233', 'NEW', '{\"city\": \"Plzeň\", \"home\": \"Plzeň\"}')"
        )
        connection.run("SELECT index_users(2)")  # the third is not indexed yet
        before = _rows(fresh, "SELECT kind, term, user_id FROM user_terms")
    migrate(fresh, "0020")
    terms = _rows(fresh, "SELECT kind, term, user_id FROM user_terms")
    assert sorted(row for row in terms if row not in before) == [
        ["field", "plzen", 3],
        ["name", "петр", 1],
    ]
    with _connected(fresh) as connection:
        connection.run("UPDATE users SET full_name = 'Ann', fields = NULL")
        connection.run("SELECT index_users(10)")
    left = _rows(fresh, "SELECT DISTINCT kind, term FROM user_terms ORDER BY 1, 2")
    assert left == [["name", "ann"], ["phone", "+77001112233"], ["stage", "NEW"]]


def test_a_database_in_use_keeps_the_originator_of_its_leads(fresh: str) -> None:
    _fill_0001(fresh)
    migrate(fresh)
    assert _rows(fresh, "SELECT originator_id, is_portal_checked FROM installation") == [
        ["leadline", True]
    ]


def test_an_empty_database_gets_its_own_originator_and_keeps_it(fresh: str) -> None:
    migrate(fresh)
    ((name, is_checked),) = _rows(
        fresh, "SELECT originator_id, is_portal_checked FROM installation"
    )
    assert re.fullmatch("leadline-[0-9a-f]{8}", str(name))
    assert is_checked is False
    with _connected(fresh) as connection:
        connection.run("UPDATE alembic_version SET version_num = '0007'")
    migrate(fresh)
    assert _rows(fresh, "SELECT originator_id FROM installation") == [[name]]
    with _connected(fresh) as connection:
        connection.run("TRUNCATE installation")  # with users: ids begin at 1 again
    assert _rows(fresh, "SELECT originator_id FROM installation") != [[name]]


def test_a_configured_originator_is_stored(fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_ORIGINATOR_ID", "acme")
    process.forget(settings)
    _fill_0001(fresh)
    migrate(fresh)
    assert _rows(fresh, "SELECT originator_id FROM installation") == [["acme"]]


#: Users 1 to 5 claim lead 5, users 6 and 7 lead 6. `applied_fence`: the fencing token under which
#: each was last synced.
SHARED_LEADS = """
INSERT INTO users (id, full_name, phone, stage, bitrix_lead_id, version, synced_version,
                   sync_status, sync_reason, sync_attempts, applied_fence)
VALUES (1, 'A', '+77001112233', 'NEW', 5, 3, 3, 'synced', NULL, 1, 10),
       (2, 'B', '+77001112233', 'NEW', 5, 2, 2, 'synced', NULL, 1, 20),
       (3, 'C', '+77001112233', 'NEW', 5, 2, 1, 'waiting', NULL, 0, 30),
       (4, 'D', '+77001112233', 'NEW', 5, 2, 1, 'failed', 'no', 3, NULL),
       (5, 'E', '+77001112233', 'NEW', 5, 1, 1, 'synced', NULL, 1, NULL),
       (6, 'F', '+77001112233', 'NEW', 6, 1, 1, 'synced', NULL, 1, 50),
       (7, 'G', '+77001112233', 'NEW', 6, 1, 1, 'synced', NULL, 1, 40),
       (8, 'H', '+77001112233', 'NEW', 7, 1, 1, 'synced', NULL, 1, NULL)
"""
#: When users 1 to 5 were last synced: user 2 five minutes after the others.
SYNCED_AT = """
INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed, correlation_id,
                    traceparent, state, settled_at)
SELECT gen_random_uuid(), id, 1, 'create_card', full_name, phone, stage, 'phone', 'c', 't',
       'synced', now() - make_interval(mins => CASE id WHEN 2 THEN 5 ELSE 10 END)
FROM users WHERE id <= 5
"""


def test_a_lead_claimed_by_several_users_stays_with_the_one_synced_last(
    fresh: str,
) -> None:
    migrate(fresh, "0007")
    with _connected(fresh) as connection:
        connection.run(SHARED_LEADS)
        connection.run(SYNCED_AT)
        # As after an interruption while the index was built.
        connection.run("CREATE INDEX users_unique_lead ON users (phone)")
    migrate(fresh)
    reason = "lead 5 belongs to another user"
    assert _rows(
        fresh,
        "SELECT id, bitrix_lead_id, sync_status, sync_reason, synced_version FROM users"
        " ORDER BY id",
    ) == [
        [1, None, "failed", reason, 0],
        [2, 5, "synced", None, 2],
        [3, None, "waiting", None, 0],
        [4, None, "failed", reason, 0],
        [5, None, "failed", reason, 0],
        [6, 6, "synced", None, 1],
        [7, None, "failed", "lead 6 belongs to another user", 0],
        [8, 7, "synced", None, 1],
    ]
    assert _rows(fresh, "SELECT user_id FROM unsynced_users ORDER BY user_id") == [
        [1],
        [3],
        [4],
        [5],
        [7],
    ]
    with (
        _connected(fresh) as connection,
        pytest.raises(pg8000.exceptions.DatabaseError, match="users_unique_lead"),
    ):
        connection.run("UPDATE users SET bitrix_lead_id = 7 WHERE id = 4")


def test_writing_users_needs_no_rights_on_the_tables_of_the_triggers(fresh: str) -> None:
    migrate(fresh)
    with _connected(fresh) as connection:
        connection.run("CREATE ROLE writer")
        connection.run("GRANT SELECT, INSERT, UPDATE ON users TO writer")
        connection.run("SET ROLE writer")
        connection.run("CREATE TEMPORARY TABLE users_to_index (user_id bigint)")
        connection.run("SET search_path = ''")
        connection.run(
            "INSERT INTO public.users (full_name, phone, stage) VALUES ('A', '+77001112233', 'NEW')"
        )
        connection.run("UPDATE public.users SET stage = 'JUNK'")
        connection.run("RESET ROLE")
        assert connection.run("SELECT status FROM public.unsynced_users") == [["waiting"]]
        assert connection.run("SELECT stage FROM public.users_to_index ORDER BY number") == [
            [None],
            ["NEW"],
        ]
        connection.run("REVOKE ALL ON public.users FROM writer; DROP TABLE pg_temp.users_to_index")
        connection.run("DROP ROLE writer")


def test_a_migration_is_repeated_under_concurrent_writes(fresh: str) -> None:
    """A migration that took a lock late would deadlock with writers waiting for its earlier one."""
    migrate(fresh)
    with _connected(fresh) as connection, _connected(fresh) as writer:
        connection.run("UPDATE alembic_version SET version_num = '0006'")
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                writer.run(
                    "WITH held AS (SELECT id FROM users ORDER BY id FOR NO KEY UPDATE)"
                    " UPDATE users SET stage = 'JUNK' FROM held WHERE users.id = held.id"
                )

        with ThreadPoolExecutor() as pool:
            writing = pool.submit(write)
            try:
                assert migrate(fresh) == newest()
            finally:
                stop.set()
            writing.result(timeout=60)


def test_a_migration_waits_for_other_transactions_only_briefly(fresh: str) -> None:
    """Statements that queue behind a waiting ALTER TABLE would wait as long."""
    _fill_0001(fresh)
    with _connected(fresh) as reader:
        reader.run("BEGIN")
        reader.run("SELECT 1 FROM events LIMIT 1")
        with pytest.raises(sqlalchemy.exc.SQLAlchemyError, match="lock timeout"):
            migrate(fresh)
        reader.run("COMMIT")
    assert migrate(fresh) == newest()


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE stages",
        "TRUNCATE stages",
        "ALTER TABLE users ADD COLUMN odd text",
        "CREATE INDEX odd ON users (phone)",
        "DELETE FROM users",
        "DELETE FROM unsynced_users",
        "INSERT INTO users_to_index (user_id) VALUES (1)",
        "UPDATE alembic_version SET version_num = '0'",
        "UPDATE installation SET history = 1",
        "UPDATE installation SET originator_id = 'another'",
        "INSERT INTO installation (originator_id, history, fingerprint) VALUES ('a', 1, 'f')",
        "DELETE FROM installation",
        "SELECT setval('users_id_seq', 1)",
        "CREATE ROLE odd",
        "CREATE DATABASE odd",
        "COPY users TO PROGRAM 'true'",
    ],
)
@pytest.mark.usefixtures("functions_login")
def test_functions_have_no_rights_that_they_do_not_need(in_postgres: str, statement: str) -> None:
    database = Database(in_postgres)
    with pytest.raises(StatementError) as caught:
        database.run(statement)
    assert caught.value.code == INSUFFICIENT_PRIVILEGE
    database.close()


def test_readers_can_only_read_and_not_idempotency_keys(fresh: str) -> None:
    migrate(fresh)
    with _connected(fresh) as connection:
        connection.run("SET ROLE leadline_read")
        assert connection.run("SELECT count(*) FROM users, events, stages") == [[0]]
        for statement in ("DELETE FROM events", "SELECT 1 FROM idempotency_keys"):
            with pytest.raises(pg8000.exceptions.DatabaseError, match=INSUFFICIENT_PRIVILEGE):
                connection.run(statement)


def test_an_owner_without_the_right_to_create_roles_migrates_without_them(
    server: PrivateServer, fresh: str
) -> None:
    with _connected(server.url) as admin:
        admin.run("CREATE ROLE plain LOGIN PASSWORD 'p'")
        admin.run("ALTER DATABASE fresh OWNER TO plain")
        # Roles belong to the whole server: migrations of other tests may have created them.
        groups = admin.run(
            "SELECT rolname FROM pg_roles"
            " WHERE rolname ~ '^leadline_(app|read|write|settle|erase)$'"
        )
        for (name,) in groups:
            admin.run(f"ALTER ROLE {name} RENAME TO {name}_away")
        try:
            with structlog.testing.capture_logs() as logs:
                revision = migrate(_url(server, database="fresh", username="plain", password="p"))  # noqa: S106 - of a test
        finally:
            for (name,) in groups:
                admin.run(f"ALTER ROLE {name}_away RENAME TO {name}")
    assert revision == newest()
    warned = [line["role"] for line in logs if line["log_level"] == "warning"]
    by_migration = {
        "0003": ["leadline_app", "leadline_read"],
        "0012": ["leadline_write", "leadline_settle", "leadline_app"],
        "0015": ["leadline_erase", "leadline_app", "leadline_settle", "leadline_read"],
    }
    assert warned == [role for roles in by_migration.values() for role in roles]
    assert _rows(fresh, "SELECT count(*) FROM users") == [[0]]
