"""Unreadable data in the work queue harms only itself."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
import redis

from leadline.workqueue.enqueue_request import EnqueueRequest, PutResult
from leadline.workqueue.queue import WorkQueue
from tests.unit.entries import pending

USER = "{leadline:test}:user:7"


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def queue(client: redis.Redis) -> WorkQueue:
    queue = WorkQueue(client, "test")
    queue.begin_first_epoch()
    queue.call_ms = 0
    return queue


def enqueue_request(user: int, version: int = 1) -> EnqueueRequest:
    state = {"full_name": "Ann", "phone": "+77001112233", "stage": "NEW"}
    return EnqueueRequest(
        user_id=user,
        event=replace(pending(event_id=f"{user}-{version}"), version=version, history=5),
        state=orjson.dumps(state),
        touches_stage=None,
        is_first=True,
        occurred_at_ms=int(time.time() * 1000),
        lead_id=None,
    )


def replace_by_string(client: redis.Redis, key: str) -> None:
    client.delete(key)
    client.set(key, "x")


DAMAGES: list[Any] = [
    lambda client: client.hset(USER, "state", "{"),
    lambda client: client.hset(USER, "state", "[]"),
    lambda client: client.hset(USER, "state", '{"full_name": 1}'),
    lambda client: client.hset(USER, "agreed", '"x"'),
    lambda client: client.hset(USER, "order", "many"),
    lambda client: client.hset(USER, "history", "many"),
    lambda client: client.hset(USER, "running_until", "late"),
    lambda client: client.hset(USER, "wait_until", "late"),
    lambda client: client.hset(USER, "originator", b"\xff"),
    lambda client: client.hset(f"{USER}:events", "e", "no event"),
    lambda client: client.hset(f"{USER}:events", "e", '1 {"event_id": "e"}'),
    lambda client: replace_by_string(client, USER),
    lambda client: replace_by_string(client, f"{USER}:events"),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_unreadable_entry_does_not_affect_the_others(
    queue: WorkQueue, client: redis.Redis, damage: Any
) -> None:
    queue.put_all([enqueue_request(user) for user in (6, 7, 8)])
    damage(client)
    assert {entry.user_id for entry in queue.lease(50).entries} >= {6, 8}
    assert queue.lease(50).expired == 0


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_user_of_a_damaged_entry_is_due_again_once_its_events_are_republished(
    queue: WorkQueue, client: redis.Redis, damage: Any
) -> None:
    queue.put(enqueue_request(7))
    damage(client)
    queue.lease(50)
    assert (
        queue.put_all([enqueue_request(6), replace(enqueue_request(7, 2), is_first=False)])
        != [PutResult.TOO_OLD] * 2
    )
    queue.lease_ms = 1
    users = {entry.user_id for entry in queue.lease(50).entries}
    assert 6 in users
    copies = list(client.scan_iter("*unreadable:7"))
    if copies:  # the entry was damaged so much that it was set aside
        assert 7 in users
        assert client.ttl(copies[0]) > 0


def test_a_lookup_waits_for_a_call_recorded_only_in_the_damaged_entry(
    queue: WorkQueue, client: redis.Redis
) -> None:
    """A create may still be running: an immediate lookup would miss it, and create another lead."""
    queue.put(enqueue_request(7))
    queue.lease(50)
    client.hset(USER, "state", "{")
    client.zadd("{leadline:test}:leases", {"7": 0})  # the lease has expired
    queue.call_ms = 70_000
    assert queue.lease(50).entries == []
    queue.put(enqueue_request(7, version=2))
    assert queue.lease(50).entries == []
    due_in_s = queue.next_due_in_s()
    assert due_in_s is not None
    assert 60 < due_in_s <= 70


def test_an_older_copy_is_not_taken_for_the_newest_state(
    queue: WorkQueue, client: redis.Redis
) -> None:
    """A newer state may have been applied, and is forgotten with the entry."""
    now_ms = int(time.time() * 1000)
    queue.put(enqueue_request(7, version=2))
    client.hset(USER, "state", "{")
    queue.lease(50)
    assert queue.put(replace(enqueue_request(7), sent_at_ms=now_ms)) is PutResult.TOO_OLD
    assert (
        queue.put(replace(enqueue_request(7, version=3), sent_at_ms=now_ms + 11_000))
        is not PutResult.TOO_OLD
    )
    queue.put(replace(enqueue_request(7), sent_at_ms=now_ms))
    (entry,) = queue.lease(50).entries
    assert (entry.desired_seq, entry.needs_lookup) == (3_000_000, True)


def test_an_older_copy_does_not_replace_a_state_whose_number_is_damaged(
    queue: WorkQueue, client: redis.Redis
) -> None:
    now_ms = int(time.time() * 1000)
    queue.put(enqueue_request(7, version=2))
    client.hset(USER, "order", "{")
    assert queue.put(replace(enqueue_request(7), sent_at_ms=now_ms)) is PutResult.TOO_OLD
    assert queue.lease(50).entries == []
    assert (
        queue.put(replace(enqueue_request(7, version=2), sent_at_ms=now_ms + 11_000))
        is not PutResult.TOO_OLD
    )
    (entry,) = queue.lease(50).entries
    assert (entry.desired_seq, entry.needs_lookup) == (2_000_000, True)
