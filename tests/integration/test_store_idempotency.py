"""A repeated request with the same idempotency key gets the same answer and writes once."""

from collections.abc import Iterator

import pg8000.native
import pytest
import sqlalchemy

from leadline.errors import (
    DatabaseBusy,
    InvalidRequest,
    RequestInProgress,
    UserNotFound,
    VersionMismatch,
)
from leadline.ledger import write
from leadline.ledger.event import AcceptedWrite, IdempotencyKey
from leadline.runtime.postgres import connection
from leadline.users.model import Changes, NewUser, UserId
from tests.integration.conftest import close_idle_connections, execute, in_threads, rows

pytestmark = pytest.mark.usefixtures("in_postgres")

ANN = NewUser(full_name="Ann", phone="+77001112233")
KEY = IdempotencyKey("caller", "key-1", b"asked for Ann")


def create(key: IdempotencyKey | None = KEY) -> AcceptedWrite:
    return write.create(ANN, key)


def rename(
    user: UserId, name: str, key: IdempotencyKey | None, version: int | None = None
) -> AcceptedWrite:
    return write.change(user, Changes(full_name=name), version, key)


def row_count(table: str) -> int:
    return len(rows(f"SELECT FROM {table}"))


def test_a_repeat_gets_the_first_answer_and_writes_nothing() -> None:
    first, second = create(), create()
    assert (first.is_new, second.is_new) == (True, False)
    assert second.event.user == first.event.user
    assert (second.event.id, second.event.version) == (first.event.id, 1)
    assert (row_count("users"), row_count("events")) == (1, 1)


def test_twenty_concurrent_repeats_create_one_user() -> None:
    def attempt(_: int) -> AcceptedWrite | None:
        try:
            return create()
        except RequestInProgress:
            return None

    answers = [answer for answer in in_threads(20, attempt) if answer]
    assert [answer.is_new for answer in answers].count(True) == 1
    assert len({answer.event.id for answer in answers}) == 1
    assert (row_count("users"), row_count("events")) == (1, 1)


def test_a_repeat_answers_with_the_state_right_after_its_write() -> None:
    user = create().event.user.id
    first = rename(user, "Bob", IdempotencyKey("caller", "key-2", b"bob"))
    rename(user, "Carl", IdempotencyKey("caller", "key-3", b"carl"))
    repeat = rename(user, "Bob", IdempotencyKey("caller", "key-2", b"bob"))
    assert not repeat.is_new
    assert (repeat.event.user.full_name, repeat.event.version) == ("Bob", first.event.version)
    assert rows("SELECT full_name FROM users") == [{"full_name": "Carl"}]


def test_a_repeat_under_if_match_is_not_a_mismatch() -> None:
    user = create().event.user.id
    key = IdempotencyKey("caller", "key-2", b"bob")
    assert rename(user, "Bob", key, version=1).is_new
    repeat = rename(user, "Bob", key, version=1)
    assert (repeat.is_new, repeat.event.version) == (False, 2)


def test_a_key_with_another_request_is_rejected() -> None:
    user = create().event.user.id
    with pytest.raises(InvalidRequest):
        create(IdempotencyKey("caller", "key-1", b"asked for Bob"))
    with pytest.raises(InvalidRequest):
        rename(user, "Bob", IdempotencyKey("caller", "key-1", b"asked for Bob"))
    assert rows("SELECT full_name, version FROM users") == [{"full_name": "Ann", "version": 1}]


def test_the_same_idempotency_key_of_another_caller_is_independent() -> None:
    create()
    assert create(IdempotencyKey("somebody else", "key-1", b"other")).is_new
    assert row_count("users") == 2


def test_a_key_is_free_again_after_a_day() -> None:
    create()
    execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours'")
    repeat = create(IdempotencyKey("caller", "key-1", b"asked for Bob"))
    assert repeat.is_new
    assert (row_count("users"), row_count("idempotency_keys")) == (2, 1)


def test_concurrent_repeats_under_an_expired_key_write_once() -> None:
    """Several find the expired key; only one of them can delete it."""
    user = create().event.user.id
    for round_ in range(10):
        execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours'")
        name = f"Round {round_}"
        answers = in_threads(4, lambda _, name=name: rename(user, name, KEY))  # type: ignore[misc]
        assert [answer.is_new for answer in answers].count(True) == 1
        assert len({answer.event.id for answer in answers}) == 1


def test_a_failed_write_leaves_its_key_free() -> None:
    with pytest.raises(UserNotFound):
        rename(UserId(99), "Bob", KEY)
    user = create(IdempotencyKey("caller", "other", b"x")).event.user.id
    with pytest.raises(VersionMismatch):
        rename(user, "Bob", KEY, version=7)
    assert rename(user, "Bob", KEY, version=1).is_new


@pytest.fixture
def other_transaction(
    in_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pg8000.native.Connection]:
    """Another transaction in the database; our statements wait for its locks for 0.2 s."""
    monkeypatch.setattr(connection, "LOCK_TIMEOUT_S", 0.2)
    close_idle_connections()  # the next connection has the short time-out
    url = sqlalchemy.make_url(in_postgres)
    with pg8000.native.Connection(
        url.username,
        host=url.host,
        port=url.port,
        database=url.database,
        password=url.password,
        ssl_context=False,
    ) as other:
        other.run("START TRANSACTION")
        yield other


def test_a_key_in_use_gets_a_409(other_transaction: pg8000.native.Connection) -> None:
    event = create(IdempotencyKey("caller", "other", b"x")).event
    other_transaction.run(
        "INSERT INTO idempotency_keys (caller, key, fingerprint, event_id)"
        " VALUES ('caller', 'key-1', 'x', CAST(:id AS uuid))",
        id=str(event.id),
    )
    with pytest.raises(RequestInProgress):
        create()
    other_transaction.run("ROLLBACK")
    assert create().is_new


def test_a_locked_user_is_a_transient_error(
    other_transaction: pg8000.native.Connection,
) -> None:
    user = create(key=None).event.user.id
    other_transaction.run("SELECT 1 FROM users WHERE id = :id FOR UPDATE", id=user)
    with pytest.raises(DatabaseBusy):
        rename(user, "Bob", key=None)
    other_transaction.run("ROLLBACK")
    assert rename(user, "Bob", key=None).is_new
