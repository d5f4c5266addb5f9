"""What the work queue knows after Redis itself was killed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import redis

from leadline.runtime.errors import QueueDown
from leadline.runtime.redis import connect
from leadline.sync.entry import Answered, Arrival, Fields, Settlement
from leadline.sync.queue import WorkQueue
from tests.servers import PrivateServer, private
from tests.unit.entries import owed

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


def arrival(user: int, version: int = 1) -> Arrival:
    event = replace(owed(event_id=f"{user}-{version}"), version=version)
    return Arrival(user, event, STATE, touches_stage=True, is_first=True, lead_id=None)


def know(work: WorkQueue, user: int) -> None:
    """Lease the user and settle it with a lead."""
    work.put(arrival(user))
    (entry,) = work.lease(50).entries
    done = tuple(replace(event, answered=Answered("synced", 1, 5)) for event in entry.events)
    fields: Fields = {"agreed": orjson.dumps({"lead_id": 5}), "agreed_order": entry.order}
    assert work.release([Settlement(entry, fields, done)]) == [True]


def test_a_restarted_redis_keeps_the_queue_and_doubts_users_without_a_lead(
    server: PrivateServer, client: redis.Redis
) -> None:
    work = WorkQueue(client, "test")
    know(work, 8)
    work.put(arrival(7))
    work.put(arrival(8, version=2))
    server.restart()
    work.put(arrival(9))
    entries = {entry.user_id: entry for entry in work.lease(50).entries}
    # What it forgot with its last second may have been a lead for 7.
    assert {user: entry.is_doubtful for user, entry in entries.items()} == {
        7: True,
        8: False,
        9: True,
    }
    work.release([Settlement(entry) for entry in entries.values()])
    work.put(arrival(10))
    assert not next(one for one in work.lease(50).entries if one.user_id == 10).is_doubtful


def test_a_killed_redis_loses_no_lease_for_good(server: PrivateServer, client: redis.Redis) -> None:
    work = WorkQueue(client, "test")
    work.lease_ms = 100
    work.put(arrival(7))
    work.lease(50)
    server.restart()
    leased = work.lease(50)
    assert (leased.expired, [entry.user_id for entry in leased.entries]) == (1, [7])


def test_a_redis_that_hangs_is_queue_down_within_seconds(
    server: PrivateServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadline.runtime.redis.ANSWER_TIMEOUT_S", 0.3)
    with connect(server.url) as impatient:
        work = WorkQueue(impatient, "test")
        work.put(arrival(7))
        server.freeze()
        with pytest.raises(QueueDown):
            work.put(arrival(8))
        server.thaw()
        assert {entry.user_id for entry in WorkQueue(client, "test").lease(50).entries} >= {7}


def test_a_full_redis_is_queue_down_and_keeps_what_it_has(client: redis.Redis) -> None:
    work = WorkQueue(client, "test")
    work.put(arrival(7))
    client.config_set("maxmemory", "1mb")
    client.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(QueueDown):
        work.put(arrival(8))
    client.config_set("maxmemory", "0")
    assert [entry.user_id for entry in work.lease(50).entries] == [7]
