"""The state of the work queue after Redis itself was killed."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import redis

from leadline.errors import QueueDown
from leadline.runtime.redis import connect
from leadline.sync.decide import settle_lookup
from leadline.workqueue.enqueue_request import EnqueueRequest, PutResult
from leadline.workqueue.entries.pending_event import Outcome
from leadline.workqueue.entries.settlement import Settlement
from leadline.workqueue.queue import LeasedBatch, WorkQueue
from tests.servers import PrivateServer, eventually, private, restart_redis
from tests.unit.entries import found_lead, pending

STATE = orjson.dumps({"full_name": "Ann", "phone": "+77001112233", "stage": "NEW"})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateServer]:
    server = private("redis", tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(server: PrivateServer) -> Iterator[redis.Redis]:
    with connect(server.url) as client:
        yield client


def enqueue_request(user: int, version: int = 1) -> EnqueueRequest:
    event = replace(pending(event_id=f"{user}-{version}"), version=version)
    return EnqueueRequest(
        user,
        event,
        STATE,
        touches_stage=True,
        is_first=True,
        occurred_at_ms=int(time.time() * 1000),
        lead_id=None,
    )


#: Clocks of machines may differ by ten seconds (`put.lua`).
WITHIN_TOLERANCE_MS, BEYOND_TOLERANCE_MS = 5_000, 11_000


def dated_later(request: EnqueueRequest, by_ms: int) -> EnqueueRequest:
    """The same request, written and sent this much later."""
    at_ms = int(time.time() * 1000) + by_ms
    return replace(request, occurred_at_ms=at_ms, sent_at_ms=at_ms)


def settle_with_lead(queue: WorkQueue, user: int) -> None:
    """Lease the user and settle it with a lead."""
    queue.put(enqueue_request(user))
    (entry,) = queue.lease(50).entries
    answered_events = tuple(
        replace(event, outcome=Outcome("synced", attempts=1, lead_id=5)) for event in entry.events
    )
    # Redis' names for last applied
    agreed = orjson.dumps({"lead_id": 5})
    fields: dict[str, str | bytes | int] = {"agreed": agreed, "agreed_order": entry.desired_seq}
    assert queue.release([Settlement(entry, fields, answered_events)]) == [True]


def queue_of(client: redis.Redis) -> WorkQueue:
    """A queue in which no call can date from before its epoch, so that users need not wait."""
    queue = WorkQueue(client, "test")
    queue.begin_first_epoch()
    queue.call_ms = 0
    return queue


def test_after_a_restart_users_wait_for_calls_that_redis_may_have_forgotten(
    server: PrivateServer, client: redis.Redis
) -> None:
    queue = queue_of(client)
    settle_with_lead(queue, 8)
    queue.put(enqueue_request(7))
    queue.put(enqueue_request(8, version=2))
    restart_redis(server, client)
    queue.call_ms = 70_000
    queue.ensure_redis_epoch()
    queue.put(dated_later(enqueue_request(9), BEYOND_TOLERANCE_MS))
    # The lost last second may have contained a call for 7 or 8.
    entries = queue.lease(50).entries
    assert {entry.user_id: entry.needs_lookup for entry in entries} == {9: False}
    queue.release([Settlement(entry, delay_ms=100_000) for entry in entries])
    due_in_s = queue.next_due_in_s()
    assert due_in_s is not None
    assert 60 < due_in_s <= 70


def test_after_a_restart_last_applied_is_a_claim_until_the_lead_was_read(
    server: PrivateServer, client: redis.Redis
) -> None:
    """The lost last second may have contained an update that the user reverts afterwards."""
    queue = queue_of(client)
    settle_with_lead(queue, 8)
    restart_redis(server, client)
    queue.put(enqueue_request(8, version=2))
    (entry,) = queue.lease(50).entries
    assert (entry.needs_lookup, entry.known_lead_id) == (True, 5)
    queue.release([settle_lookup(entry, found_lead(5, origin="8"), now_ms=0)])
    (entry,) = queue.lease(50).entries
    assert not entry.needs_lookup


def test_a_postgres_clock_that_is_ahead_makes_no_event_newer_than_the_epoch(
    server: PrivateServer, client: redis.Redis
) -> None:
    """If Postgres' clock is ahead, a write from before the restart looks newer."""
    queue = queue_of(client)
    ahead = int(time.time() * 1000) + 60_000
    queue.put(replace(enqueue_request(7), occurred_at_ms=ahead))
    queue.lease(50)
    restart_redis(server, client)
    queue.call_ms = 70_000
    client.zrem(f"{queue.prefix}leases", 7)  # Redis lost its last second: the lease is gone
    client.zadd(f"{queue.prefix}due", {"7": 0})
    assert queue.lease(50).entries == []


def test_a_user_written_within_the_clock_tolerance_may_be_older_than_the_loss(
    client: redis.Redis,
) -> None:
    """The user and its lead may have been created before the loss."""
    queue = queue_of(client)
    client.flushall()
    queue.call_ms = 70_000
    queue.ensure_redis_epoch()
    queue.put(replace(dated_later(enqueue_request(7), WITHIN_TOLERANCE_MS), sent_at_ms=None))
    queue.put(replace(dated_later(enqueue_request(8), BEYOND_TOLERANCE_MS), sent_at_ms=None))
    assert [entry.user_id for entry in queue.lease(50).entries] == [8]


def test_a_message_sent_before_a_flush_is_processed_only_when_republished(
    client: redis.Redis,
) -> None:
    """A newer state may have been applied before the flush; the ledger republishes open events."""
    queue = queue_of(client)
    client.flushall()
    queue.ensure_redis_epoch()
    # perhaps sent before the flush
    late = dated_later(enqueue_request(7, version=2), WITHIN_TOLERANCE_MS)
    assert queue.put(late) is PutResult.TOO_OLD
    assert queue.next_due_in_s() is None
    assert queue.put(dated_later(late, BEYOND_TOLERANCE_MS)) is not PutResult.TOO_OLD
    assert queue.put(late) is not PutResult.TOO_OLD, "the user is known by now"
    assert queue.put(enqueue_request(8, version=2)) is not PutResult.TOO_OLD, (
        "its sender republishes nothing"
    )


def test_a_killed_redis_loses_no_lease_for_good(server: PrivateServer, client: redis.Redis) -> None:
    queue = queue_of(client)
    queue.lease_ms = 100
    queue.put(enqueue_request(7))
    queue.lease(50)
    queue.lease_ms = 60_000
    restart_redis(server, client)
    leases: list[LeasedBatch] = []

    def is_leased_again() -> bool:
        leases.append(queue.lease(50))
        return bool(leases[-1].entries)

    eventually(is_leased_again, 60, "the lease from before is over")
    assert (leases[-1].expired, [entry.user_id for entry in leases[-1].entries]) == (1, [7])


def test_a_hanging_redis_raises_queue_down_within_seconds(
    server: PrivateServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadline.runtime.redis.RESPONSE_TIMEOUT_S", 2)
    with connect(server.url) as client_with_time_out:
        queue = queue_of(client_with_time_out)
        queue.put(enqueue_request(7))
        server.freeze()
        with pytest.raises(QueueDown):
            queue.put(enqueue_request(8))
        server.thaw()
        assert {entry.user_id for entry in queue_of(client).lease(50).entries} >= {7}


@pytest.mark.parametrize("version", [1, 2])
def test_a_full_redis_raises_queue_down_and_keeps_its_data(
    client: redis.Redis, version: int
) -> None:
    queue = queue_of(client)
    queue.put(enqueue_request(7))
    client.config_set("maxmemory", "1mb")
    client.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(QueueDown):
        queue.put(enqueue_request(8, version))
    client.config_set("maxmemory", "0")
    assert [entry.user_id for entry in queue.lease(50).entries] == [7]
