"""Redis has lost its newest writes: a pending event may be older than what was applied.

This happens after a restart, and when a replica is promoted.
"""

from dataclasses import replace

import orjson
import redis

from leadline.workqueue.enqueue_request import EnqueueRequest, PutResult
from leadline.workqueue.entries.pending_event import Outcome
from leadline.workqueue.entries.settlement import Settlement
from leadline.workqueue.queue import WorkQueue
from tests.integration.test_queue_crashes import (
    BEYOND_TOLERANCE_MS,
    WITHIN_TOLERANCE_MS,
    client,
    dated_later,
    enqueue_request,
    queue_of,
    server,
    settle_with_lead,
)
from tests.servers import PrivateServer, restart_redis

__all__ = ["client", "server"]


def vouched_request(user: int, version: int, later_ms: int = 0) -> EnqueueRequest:
    """A message republished by a sender that knew of no newer version."""
    return dated_later(enqueue_request(user, version), later_ms)


def lose_last_moments(server: PrivateServer, client: redis.Redis, queue: WorkQueue) -> None:
    """Version 2 of user 7 is pending; version 3 is put, applied and answered, and is forgotten."""
    queue.put(vouched_request(7, 2))
    remembered = {key: client.dump(key) for key in client.scan_iter(f"{queue.prefix}*")}
    queue.put(vouched_request(7, 3))
    (entry,) = queue.lease(50).entries
    answered_events = tuple(
        replace(event, outcome=Outcome("synced", attempts=1, lead_id=5)) for event in entry.events
    )
    last_applied = orjson.dumps({"lead_id": 5})
    fields: dict[str, str | bytes | int] = {
        "agreed": last_applied,
        "agreed_order": entry.desired_seq,
    }
    assert queue.release([Settlement(entry, fields, answered_events)]) == [True]
    client.flushdb()
    for key, stored in remembered.items():
        client.restore(key, 0, stored or b"")
    restart_redis(server, client)


def users_to_republish_after_tolerance(queue: WorkQueue, client: redis.Redis) -> list[int]:
    """Let the ten seconds pass by which clocks may differ; returns the users to republish."""
    client.zadd(f"{queue.prefix}republish", {"7": 0}, xx=True)
    return queue.users_to_republish(10)


def test_pending_events_wait_until_their_sender_repeats_them(
    server: PrivateServer, client: redis.Redis
) -> None:
    """An event may be older than the state that the portal has got since."""
    queue = queue_of(client)
    lose_last_moments(server, client, queue)
    assert queue.lease(50).entries == []
    assert queue.next_due_in_s() is None
    assert queue.users_to_republish(10) == [], "its message could be taken for an older one"
    assert users_to_republish_after_tolerance(queue, client) == [7]
    queue.drop_republication_requests([7])
    assert queue.users_to_republish(10) == []
    queue.put(replace(vouched_request(7, 4, BEYOND_TOLERANCE_MS), is_first=False))
    (entry,) = queue.lease(50).entries
    assert (entry.desired_seq, entry.needs_lookup) == (4_000_000, True)
    assert {event.version for event in entry.events} == {2, 4}


def test_a_copy_from_before_the_loss_does_not_vouch_for_itself(
    server: PrivateServer, client: redis.Redis
) -> None:
    """The broker delivers again what no consumer has acknowledged."""
    queue = queue_of(client)
    lose_last_moments(server, client, queue)
    assert queue.put(vouched_request(7, 2)) is PutResult.TOO_OLD
    assert queue.put(vouched_request(7, 2, WITHIN_TOLERANCE_MS)) is PutResult.TOO_OLD
    assert queue.lease(50).entries == []
    assert users_to_republish_after_tolerance(queue, client) == [7]


def test_the_repeated_event_keeps_its_attempts(server: PrivateServer, client: redis.Redis) -> None:
    queue = queue_of(client)
    queue.put(vouched_request(7, 2))
    (entry,) = queue.lease(50).entries
    tried = tuple(event.after_attempt() for event in entry.events)
    assert queue.release([Settlement(entry, events=tried)]) == [True]
    restart_redis(server, client)
    assert queue.lease(50).entries == []
    queue.put(vouched_request(7, 2, BEYOND_TOLERANCE_MS))
    (entry,) = queue.lease(50).entries
    assert [event.attempts for event in entry.events] == [1]


def test_events_that_no_sender_republishes_are_applied_after_a_loss(
    server: PrivateServer, client: redis.Redis
) -> None:
    """Waiting would lose them, even if events of the ledger wait for the same user."""
    queue = queue_of(client)
    queue.put(enqueue_request(7))
    queue.put(vouched_request(8, 1))
    queue.put(enqueue_request(8, version=2))
    queue.put(enqueue_request(9))
    queue.put(vouched_request(9, 2))
    restart_redis(server, client)
    assert {entry.user_id for entry in queue.lease(50).entries} == {7, 8, 9}


def test_a_user_whose_foreign_events_are_answered_must_be_vouched_for_again(
    server: PrivateServer, client: redis.Redis
) -> None:
    queue = queue_of(client)
    settle_with_lead(queue, 7)
    queue.put(vouched_request(7, 2))
    restart_redis(server, client)
    assert queue.lease(50).entries == []
    assert client.ttl(f"{queue.prefix}user:7") > 0, "what is never repeated expires"
    assert client.ttl(f"{queue.prefix}user:7:events") > 0


def test_after_a_total_loss_events_sent_within_the_clock_tolerance_are_republished(
    client: redis.Redis,
) -> None:
    queue = queue_of(client)
    client.flushall()
    queue.ensure_redis_epoch()
    assert queue.put(vouched_request(7, 1)) is PutResult.TOO_OLD
    assert users_to_republish_after_tolerance(queue, client) == [7]
