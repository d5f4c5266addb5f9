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
def work(client: redis.Redis) -> WorkQueue:
    work = WorkQueue(client, "test")
    work.begin_first_epoch()
    work.call_ms = 0
    return work


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


def string_instead(client: redis.Redis, key: str) -> None:
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
    lambda client: string_instead(client, USER),
    lambda client: string_instead(client, f"{USER}:events"),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_unreadable_entry_does_not_affect_the_others(
    work: WorkQueue, client: redis.Redis, damage: Any
) -> None:
    work.put_all([enqueue_request(user) for user in (6, 7, 8)])
    damage(client)
    assert {entry.user_id for entry in work.lease(50).entries} >= {6, 8}
    assert work.lease(50).expired == 0


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_user_of_a_damaged_entry_is_due_again_once_its_events_are_republished(
    work: WorkQueue, client: redis.Redis, damage: Any
) -> None:
    work.put(enqueue_request(7))
    damage(client)
    work.lease(50)
    assert (
        work.put_all([enqueue_request(6), replace(enqueue_request(7, 2), is_first=False)])
        != [PutResult.TOO_OLD] * 2
    )
    work.lease_ms = 1
    users = {entry.user_id for entry in work.lease(50).entries}
    assert 6 in users
    copies = list(client.scan_iter("*unreadable:7"))
    if copies:
        assert 7 in users
        assert client.ttl(copies[0]) > 0


def test_a_lookup_waits_for_a_call_recorded_only_in_the_damaged_entry(
    work: WorkQueue, client: redis.Redis
) -> None:
    """A create may still be running: an immediate lookup would miss it, and create another lead."""
    work.put(enqueue_request(7))
    work.lease(50)
    client.hset(USER, "state", "{")
    client.zadd("{leadline:test}:leases", {"7": 0})
    work.call_ms = 70_000
    assert work.lease(50).entries == []
    work.put(enqueue_request(7, version=2))
    assert work.lease(50).entries == []
    due_in_s = work.next_due_in_s()
    assert due_in_s is not None
    assert 60 < due_in_s <= 70


def test_an_older_copy_is_not_taken_for_the_newest_state(
    work: WorkQueue, client: redis.Redis
) -> None:
    """Something newer was applied and lost with the entry."""
    now_ms = int(time.time() * 1000)
    work.put(enqueue_request(7, version=2))
    client.hset(USER, "state", "{")
    work.lease(50)
    assert work.put(replace(enqueue_request(7), sent_at_ms=now_ms)) is PutResult.TOO_OLD
    assert (
        work.put(replace(enqueue_request(7, version=3), sent_at_ms=now_ms + 11_000))
        is not PutResult.TOO_OLD
    )
    work.put(replace(enqueue_request(7), sent_at_ms=now_ms))
    (entry,) = work.lease(50).entries
    assert (entry.desired_seq, entry.needs_lookup) == (3_000_000, True)


def test_an_older_copy_does_not_replace_a_state_whose_number_is_damaged(
    work: WorkQueue, client: redis.Redis
) -> None:
    now_ms = int(time.time() * 1000)
    work.put(enqueue_request(7, version=2))
    client.hset(USER, "order", "{")
    assert work.put(replace(enqueue_request(7), sent_at_ms=now_ms)) is PutResult.TOO_OLD
    assert work.lease(50).entries == []
    assert (
        work.put(replace(enqueue_request(7, version=2), sent_at_ms=now_ms + 11_000))
        is not PutResult.TOO_OLD
    )
    (entry,) = work.lease(50).entries
    assert (entry.desired_seq, entry.needs_lookup) == (2_000_000, True)
