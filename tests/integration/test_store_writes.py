"""Writes of users: one statement, one event each, versions without gaps."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import pytest

from leadline.errors import UserNotFound, VersionMismatch
from leadline.ledger import write
from leadline.ledger.event import Event, IdempotencyKey
from leadline.ledger.write_sql import CREATE
from leadline.runtime.postgres.pool import Database, StatementError, database
from leadline.users.model import Changes, Move, NewUser, UserId
from local.sandbox.waiting import eventually
from tests.integration.conftest import (
    execute,
    holding,
    in_greenlets,
    in_threads,
    is_a_statement_waiting,
    rows,
)

pytestmark = pytest.mark.usefixtures("in_postgres")

ANN = NewUser(full_name="Иван Иванов", phone="+77001112233", stage="NEW")
UNKNOWN = UserId(2**62)


def create() -> Event:
    return write.create(ANN, key=None).event


def move(user: UserId, stage: str, version: int | None = None) -> Event:
    return write.change(user, Move(stage=stage), version, key=None).event


def test_a_created_user_has_one_open_event_with_its_whole_state() -> None:
    accepted = write.create(ANN, key=None)
    event = accepted.event
    assert accepted.is_new
    assert (event.version, event.action, event.bitrix_lead_id) == (1, "create_card", None)
    assert event.changed == ("full_name", "phone", "stage")
    (row,) = rows("SELECT * FROM events")
    assert (str(row["id"]), row["user_id"], row["state"]) == (str(event.id), event.user.id, "open")
    assert (row["full_name"], row["phone"], row["stage"]) == ("Иван Иванов", ANN.phone, "NEW")
    (user,) = rows("SELECT * FROM users")
    assert (user["version"], user["sync_status"], user["synced_version"]) == (1, "waiting", 0)


def test_each_write_is_one_statement(statements: Counter[str]) -> None:
    user = create().user.id
    assert statements.total() == 1
    move(user, "JUNK")
    assert statements.total() == 2
    write.change(
        user, Changes(full_name="Bob"), expected_version=2, key=IdempotencyKey("a", "k", b"f")
    )
    assert statements.total() == 3


def test_a_change_carries_the_whole_state_and_names_the_changed_fields() -> None:
    user = create().user.id
    event = write.change(user, Changes(phone="+77005556677"), expected_version=None, key=None).event
    assert (event.version, event.action, event.changed) == (2, "update_card", ("phone",))
    assert (event.user.full_name, event.user.phone) == ("Иван Иванов", "+77005556677")
    moved = move(user, "PROCESSED")
    assert (moved.version, moved.action, moved.changed) == (3, "move_card", ("stage",))
    assert moved.user.phone == "+77005556677"


def test_a_change_makes_a_settled_user_wait_again() -> None:
    user = create().user.id
    execute("UPDATE users SET sync_status = 'failed', sync_reason = 'no', sync_attempts = 3")
    move(user, "JUNK")
    (row,) = rows("SELECT sync_status, sync_reason, sync_attempts FROM users")
    assert row == {"sync_status": "waiting", "sync_reason": None, "sync_attempts": 0}


def test_versions_have_no_gaps_under_concurrent_updates() -> None:
    user = create().user.id

    def update_ten_times(thread: int) -> list[int]:
        renames = [Changes(full_name=f"{thread}-{step}") for step in range(10)]
        return [
            write.change(user, rename, expected_version=None, key=None).event.version
            for rename in renames
        ]

    versions = sorted(chain.from_iterable(in_threads(8, update_ten_times)))
    assert versions == list(range(2, 82))
    recorded = rows("SELECT version, full_name FROM events ORDER BY version")
    assert [row["version"] for row in recorded] == list(range(1, 82))
    (last,) = rows("SELECT version, full_name FROM users")
    assert last == recorded[-1]


def test_one_of_several_writers_that_expect_the_same_version_wins() -> None:
    user = create().user.id

    def attempt(number: int) -> bool:
        try:
            write.change(user, Changes(full_name=f"n{number}"), expected_version=1, key=None)
        except VersionMismatch:
            return False
        return True

    assert Counter(in_threads(8, attempt)) == {True: 1, False: 7}
    assert rows("SELECT version FROM users") == [{"version": 2}]


def test_a_write_with_a_wrong_version_changes_nothing() -> None:
    user = create().user.id
    with pytest.raises(VersionMismatch):
        move(user, "JUNK", version=2)
    assert move(user, "JUNK", version=1).version == 2
    assert len(rows("SELECT id FROM events")) == 2


def test_an_unknown_user_is_not_found() -> None:
    for version in (None, 1):
        with pytest.raises(UserNotFound):
            move(UNKNOWN, "JUNK", version)
    assert rows("SELECT id FROM events") == []


def test_the_lead_id_travels_with_later_events() -> None:
    user = create().user.id
    execute("UPDATE users SET bitrix_lead_id = 456")
    assert move(user, "JUNK").bitrix_lead_id == 456


IMPOSSIBLE = [
    "UPDATE users SET sync_status = 'synced'",
    "UPDATE users SET sync_status = 'failed'",
    "UPDATE users SET sync_status = 'lost'",
    "UPDATE users SET synced_version = 2",
    "UPDATE users SET bitrix_lead_id = 0",
    "UPDATE users SET version = 0",
    "UPDATE users SET phone = '87001112233'",
    "UPDATE users SET full_name = ''",
    "UPDATE events SET state = 'synced'",
    "UPDATE events SET state = 'failed', settled_at = now()",
    "UPDATE events SET settled_at = now()",
    "UPDATE events SET version = 1, user_id = 77",
    "UPDATE events SET action = 'drop_card'",
    "UPDATE events SET due_at = NULL",
    "UPDATE events SET state = 'synced', settled_at = now()",
    "UPDATE events SET state = 'superseded', settled_at = now()",
    "UPDATE events SET sendings = 1",
    "UPDATE events SET published_at = now()",
    "UPDATE events SET attempts = 3",
    "UPDATE events SET changed = ''",
    "UPDATE users SET synced_version = version, bitrix_lead_id = 1",
    "UPDATE users SET sync_attempts = 1",
    (
        "INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed,"
        " correlation_id, traceparent, due_at) SELECT gen_random_uuid(), user_id, version, action,"
        " full_name, phone, stage, changed, correlation_id, traceparent, due_at FROM events"
    ),
]


@pytest.mark.parametrize("statement", IMPOSSIBLE)
def test_the_database_rejects_an_impossible_state(statement: str) -> None:
    create()
    with pytest.raises(StatementError) as caught:
        database().run(statement)
    assert caught.value.code.startswith("23"), "integrity constraint violation"


def test_concurrent_writers_share_a_statement_and_get_their_own_user(
    in_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    run = Database.run

    def count_and_run(self: Database, sql: str, **params: object) -> list[dict[str, Any]]:
        statements.append(sql)
        return run(self, sql, **params)

    monkeypatch.setattr(Database, "run", count_and_run)

    def create_and_move(number: int) -> tuple[str, tuple[int, str]]:
        name = f"n{number % 5}"  # each name four times
        event = write.create(NewUser(full_name=name, phone=ANN.phone), key=None).event
        moved = move(event.user.id, "JUNK")
        assert (moved.user.full_name, moved.version) == (name, 2)
        return str(event.id), (event.user.id, name)

    with ThreadPoolExecutor(1) as pool:
        with holding(in_postgres, "LOCK TABLE users IN SHARE MODE"):
            answers = pool.submit(in_greenlets, 20, create_and_move)
            eventually(is_a_statement_waiting, 60, "the first waits for the table")
        user_by_event = dict(answers.result(60))
    assert statements.count(CREATE) < 20
    stored = rows("SELECT id, user_id, full_name FROM events WHERE version = 1")
    assert user_by_event == {str(row["id"]): (row["user_id"], row["full_name"]) for row in stored}
    assert len({row["user_id"] for row in stored}) == 20


def test_a_write_that_postgres_rejects_does_not_affect_the_rest_of_its_group() -> None:
    users = [create().user.id for _ in range(8)]
    invalid = Changes.model_construct(full_name="")  # a client's would be refused before

    def change_one(number: int) -> int:
        """The version of the user after its change; every fourth change is invalid."""
        if number % 4 == 0:
            with pytest.raises(StatementError):
                write.change(users[number], invalid, expected_version=None, key=None)
            return 1
        return write.change(
            users[number], Changes(full_name="Bob"), expected_version=None, key=None
        ).event.version

    for _ in range(5):
        execute("UPDATE users SET version = 1")
        execute("DELETE FROM events WHERE version > 1")
        assert in_greenlets(8, change_one) == [1, 2, 2, 2, 1, 2, 2, 2]


def test_waiting_for_a_row_does_not_block_other_writers(in_postgres: str) -> None:
    held, free = create().user.id, create().user.id
    with ThreadPoolExecutor(1) as pool:
        with holding(in_postgres, f"SELECT FROM users WHERE id = {held} FOR UPDATE"):
            waiting = pool.submit(in_greenlets, 1, lambda _: move(held, "JUNK").version)
            eventually(is_a_statement_waiting, 60, "one waits for the row")
            assert move(free, "JUNK").version == 2
            assert not waiting.done()
        assert waiting.result(60) == [2]
