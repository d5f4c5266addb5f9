"""Retention deletes expired rows of the ledger, and nothing else."""

import time

import pytest

from leadline.ledger import retention, settle, write
from leadline.ledger.event import Event, IdempotencyKey
from leadline.ledger.settle import ReceivedReply
from leadline.messages.contract import Reply
from leadline.users import queries
from leadline.users.model import Move, NewUser
from tests.integration.conftest import execute, in_threads, refill_after_analyze, rows
from tests.servers import postgres_connection

pytestmark = pytest.mark.usefixtures("in_postgres")

ANN = NewUser(full_name="Ann", phone="+77001112233")


def create(key: str | None = None) -> Event:
    """Create a user, under this idempotency key if there is one."""
    if key is None:
        return write.create(ANN, key=None).event
    return write.create(ANN, IdempotencyKey("caller", key, fingerprint=b"f")).event


def move(event: Event) -> Event:
    return write.change(event.user.id, Move(stage="JUNK"), expected_version=None, key=None).event


def settle_event(event: Event, *, is_synced: bool = True) -> Event:
    fields = {"action": event.action, "user_id": event.user.id, "event_id": str(event.id)}
    success = {"status": "success", "bitrix_lead_id": event.user.id}
    outcome = success if is_synced else {"status": "error"}
    settle.apply([ReceivedReply(Reply(**fields, **outcome))])
    return event


def make_older(days: int) -> None:
    """Make all settled events look as if they had been settled this many days ago."""
    execute(
        "UPDATE events SET settled_at = now() - make_interval(days => :days) WHERE state <> 'open'",
        days=days,
    )


def run() -> int:
    """Run the retention; returns how many rows it deleted."""
    return retention.run(until=time.monotonic() + 10)


def remaining_states() -> list[str]:
    return [row["state"] for row in rows("SELECT state FROM events ORDER BY user_id, version")]


def test_settled_events_are_deleted_when_they_expire_and_the_user_is_unchanged() -> None:
    event = create()
    settle_event(move(settle_event(event)))
    before = queries.get(event.user.id)
    make_older(29)
    assert run() == 0
    make_older(31)
    assert run() == 2
    after = queries.get(event.user.id)
    assert after["sync"]["events"] == []
    assert after == {**before, "sync": {**before["sync"], "events": []}}


def test_open_events_stay_however_old() -> None:
    create()
    execute("UPDATE events SET occurred_at = now() - interval '1 year'")
    assert run() == 0


def test_a_failure_stays_until_its_user_has_a_newer_version() -> None:
    event = settle_event(create(), is_synced=False)
    make_older(365)
    assert run() == 0
    assert queries.get(event.user.id)["sync"]["events"][0]["reason"] == "no reason given"
    move(event)
    assert run() == 1
    assert remaining_states() == ["open"]


def test_idempotency_keys_are_deleted_after_a_day() -> None:
    create("old")
    execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    create("new")
    assert run() == 1
    assert rows("SELECT key FROM idempotency_keys") == [{"key": "new"}]


def test_concurrent_runs_delete_batch_after_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 5)
    for _ in range(33):
        settle_event(create())
    make_older(31)
    create()
    # A run skips rows that another has locked, and may find no others.
    assert sum(in_threads(3, lambda _: run())) + run() == 33
    assert remaining_states() == ["open"]


def test_retention_deletes_one_batch_even_when_no_time_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "BATCH", 5)
    for _ in range(12):
        settle_event(create())
    make_older(31)
    assert retention.run(until=time.monotonic() - 1) == 5


#: By table, the values of expired rows; the other tables are filled by events.
_EXPIRED = {
    "audit (id, at, action)": "gen_random_uuid(), now() - interval '1 year', 'pause'",
    "bulk_jobs (id, kind, selection, total, state, ended_at)": """
        gen_random_uuid(), 'resync', '{}', 0, 'done', now() - interval '1 year'""",
    "match_plans (portal, created_at)": "'main', now() - interval '1 year'",
    "held_users (user_id, version, reason, since)": """
        id, version, 'a reason', now() - interval '1 year'""",
    "event_calls (event_id, calls)": """
        CAST('01000000-0000-7000-8000-' || lpad(CAST(id AS text), 12, '0') AS uuid), '[]'""",
}


def test_a_batch_is_not_exceeded_however_postgres_plans(
    monkeypatch: pytest.MonkeyPatch, postgres: str
) -> None:
    monkeypatch.setattr(retention, "BATCH", 5)

    def fill() -> None:
        for number in range(12):
            settle_event(create(f"key {number}"))
        make_older(31)
        execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
        with postgres_connection(postgres) as owner:
            for columns, values in _EXPIRED.items():
                owner.run(f"INSERT INTO {columns} SELECT {values} FROM users")  # noqa: S608 - of constants

    refill_after_analyze(postgres, fill)
    tables = 2 + len(_EXPIRED)  # events and idempotency keys, too
    assert retention.run(until=time.monotonic() - 1) == 5 * tables
