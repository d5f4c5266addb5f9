"""Events of a long backlog are not republished while they wait; forgotten ones are."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import orjson
import pytest
import redis

from leadline import process
from leadline.ledger import outbox, relay, write
from leadline.ledger.event import Event
from leadline.messages.cloudevents import Delivery
from leadline.runtime.once_per_interval import Interval
from leadline.runtime.redis import client
from leadline.runtime.telemetry import trace_context
from leadline.sync import enqueue
from leadline.users.model import Move, NewUser
from leadline.workqueue import portal_state, republication
from leadline.workqueue.entries.pending_event import Outcome
from leadline.workqueue.entries.settlement import Settlement
from leadline.workqueue.queue import work_queue
from leadline.workqueue.republication import PendingEvents, make_outdated_due
from tests.integration.conftest import execute, rows

pytestmark = pytest.mark.usefixtures("in_postgres", "in_redis", "in_rabbitmq")

ANN = NewUser(full_name="Ann", phone="+77001112233")


def create_queued(count: int = 1) -> list[Event]:
    """New users whose published events have reached a work queue with a worker."""
    portal_state.worker_heartbeats().beat("worker")
    events = [write.create(ANN, key=None).event for _ in range(count)]
    deliver_to_work_queue(events)
    return events


def deliver_to_work_queue(events: list[Event], *, with_headers: bool = False) -> None:
    """Mark events as published, and put them into the work queue as bitrix_handler does."""
    outbox.mark_published([event.id for event in events])
    trace = trace_context.trace_from_headers("call", None)
    deliveries = []
    for message in map(outbox.to_message, events):
        headers = message.headers if with_headers else {}
        attributes = {name.removeprefix("ce-"): value for name, value in headers.items()}
        data = orjson.loads(message.body)
        deliveries.append(Delivery(data, message.message_id, attributes, trace))
    enqueue.enqueue_events(deliveries)


def run_relay_with_all_due() -> int:
    """Make all events due and run the relay; returns how many it publishes."""
    execute("UPDATE events SET due_at = now() - interval '1 second' WHERE due_at IS NOT NULL")
    return relay.run(PendingEvents().pending_among).published


def test_an_event_in_the_work_queue_is_not_republished() -> None:
    create_queued(30)
    assert run_relay_with_all_due() == 0
    assert rows("SELECT DISTINCT state, sendings FROM events") == [{"state": "open", "sendings": 1}]


def test_exactly_the_lost_events_of_a_backlog_are_republished(redis_url: str) -> None:
    events = create_queued(4)
    with redis.Redis.from_url(redis_url) as connection:
        users = [f"{work_queue().prefix}user:{event.user.id}" for event in events]
        connection.hdel(f"{users[0]}:events", events[0].id)
        connection.delete(users[1])
        connection.zrem(f"{work_queue().prefix}due", events[2].user.id)
    assert run_relay_with_all_due() == 3
    sendings = {row["id"]: row["sendings"] for row in rows("SELECT id::text, sendings FROM events")}
    assert [sendings[event.id] for event in events] == [2, 2, 2, 1]


def test_an_event_under_a_lease_is_not_republished() -> None:
    create_queued()
    assert len(work_queue().lease(50).entries) == 1
    assert run_relay_with_all_due() == 0


@pytest.mark.parametrize(("age_s", "wait_s"), [(61, 61), (900, 900), (100_000, 3600), (3, 60)])
def test_a_waiting_event_is_checked_with_back_off(age_s: int, wait_s: int) -> None:
    create_queued()
    execute("UPDATE events SET published_at = now() - make_interval(secs => :s)", s=age_s)
    began = datetime.now(UTC)
    run_relay_with_all_due()
    lasted = datetime.now(UTC) - began
    (row,) = rows("SELECT due_at FROM events")
    waits = row["due_at"] - began
    tolerance = timedelta(seconds=5)
    assert timedelta(seconds=wait_s) - tolerance < waits
    assert waits < timedelta(seconds=wait_s) + tolerance + lasted


def test_an_event_that_redis_lost_is_republished(redis_url: str) -> None:
    create_queued(3)
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushall()
    assert run_relay_with_all_due() == 3


def test_an_event_that_redis_may_have_lost_is_republished_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Redis lost its latest writes, and the event's next republication is far away."""
    monkeypatch.setattr(republication, "_checks", Interval(0))
    event, other = (write.create(ANN, key=None).event for _ in range(2))
    deliver_to_work_queue([event], with_headers=True)
    execute("UPDATE events SET due_at = now() + interval '1 hour'")
    work = work_queue()
    client().hset(f"{work.prefix}memory", "run_id", "of another server")
    assert work.lease(10).entries == []
    make_outdated_due(relay.make_due)
    assert relay.run(PendingEvents().pending_among).published == 0, "clocks may differ"
    client().zadd(f"{work.prefix}republish", {str(event.user.id): 0}, xx=True)
    make_outdated_due(relay.make_due)
    assert relay.run(PendingEvents().pending_among).published == 1
    assert rows("SELECT id::text AS id FROM events WHERE published_at IS NULL") == [
        {"id": other.id}
    ]
    assert client().zcard(f"{work.prefix}republish") == 0


def test_an_unreachable_redis_only_delays_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = Interval(0)
    monkeypatch.setattr(republication, "_checks", checks)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    make_outdated_due(relay.make_due)
    assert not checks.claim(), "Redis is not asked again at once"


def test_an_event_that_waited_at_first_is_republished_once_it_is_lost(redis_url: str) -> None:
    create_queued()
    assert run_relay_with_all_due() == 0
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushall()
    assert run_relay_with_all_due() == 1


@pytest.mark.parametrize("silence_s", [301, 4000])
def test_a_waiting_event_is_republished_if_no_worker_has_been_seen_for_long(
    redis_url: str, silence_s: int
) -> None:
    create_queued()
    with redis.Redis.from_url(redis_url) as connection:
        connection.zincrby(f"{work_queue().prefix}workers", -silence_s, "worker")
    assert run_relay_with_all_due() == 1


def test_an_event_whose_reply_was_lost_is_republished() -> None:
    (event,) = create_queued()
    (entry,) = work_queue().lease(50).entries
    (pending,) = entry.events
    assert pending.event_id == event.id
    answered_event = replace(pending, outcome=Outcome("synced", attempts=1, lead_id=5))
    assert work_queue().release([Settlement(entry, events=(answered_event,))]) == [True]
    assert run_relay_with_all_due() == 1


def test_an_event_that_no_worker_would_lease_is_republished(redis_url: str) -> None:
    create_queued()
    with redis.Redis.from_url(redis_url) as connection:
        connection.delete(f"{work_queue().prefix}due")
    assert run_relay_with_all_due() == 1


def test_a_newer_write_that_has_not_arrived_is_republished_even_if_an_older_one_waits() -> None:
    (event,) = create_queued()
    newer = write.change(event.user.id, Move(stage="JUNK"), expected_version=None, key=None).event
    outbox.mark_published([newer.id])
    assert run_relay_with_all_due() == 1


def test_an_unconfirmed_event_is_republished_wherever_it_is() -> None:
    create_queued()
    execute("UPDATE events SET published_at = NULL, sendings = 0")
    assert run_relay_with_all_due() == 1


def test_without_redis_everything_is_republished(monkeypatch: pytest.MonkeyPatch) -> None:
    create_queued(2)
    monkeypatch.delenv("REDIS_URL")
    assert run_relay_with_all_due() == 2


@pytest.mark.parametrize("address", ["redis://127.0.0.1:1/0", "no address"])
def test_while_redis_is_unreachable_everything_is_republished(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_queued(2)
    monkeypatch.setenv("REDIS_URL", address)
    forget_redis()
    assert run_relay_with_all_due() == 2


def test_a_redis_that_rejects_the_lookup_does_not_stop_republishing(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_queued(2)
    parts = urlsplit(redis_url)
    with redis.Redis.from_url(redis_url) as connection:
        # As a password, "+mute" adds "mute".
        connection.acl_setuser("mute", enabled=True, passwords=["+mute"], commands=["+ping"])
        monkeypatch.setenv("REDIS_URL", f"redis://mute:mute@{parts.hostname}:{parts.port}/0")
        forget_redis()
        assert run_relay_with_all_due() == 2
        connection.acl_deluser("mute")


def forget_redis() -> None:
    """Forget the connections to Redis, as in a process that has just started."""
    client().close()
    for cached in (client, work_queue, portal_state.worker_heartbeats):
        process.forget(cached)
