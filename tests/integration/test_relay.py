"""The relay publishes unconfirmed events, and republishes unanswered ones."""

import time
from datetime import UTC, datetime, timedelta
from functools import partialmethod
from typing import Any

import orjson
import pika
import pytest

from leadline.errors import BrokerDown
from leadline.ledger import accept, outbox, relay, settle, write
from leadline.ledger.event import Event
from leadline.ledger.settle import ReceivedReply
from leadline.messages import topology
from leadline.messages.contract import Reply
from leadline.runtime.rabbitmq.publisher import Publisher
from leadline.users.model import Move, NewUser
from tests.integration.conftest import execute, in_threads, refill_after_analyze, rows
from tests.servers import eventually

pytestmark = pytest.mark.usefixtures("in_postgres")

ANN = NewUser(full_name="Ann", phone="+77001112233")
NO_BROKER = "amqp://127.0.0.1:1/"


def create() -> Event:
    """Write a user without offering its event to the broker, as if the function was killed."""
    return write.create(ANN, key=None).event


def make_due() -> None:
    execute("UPDATE events SET due_at = now() - interval '1 second' WHERE due_at IS NOT NULL")


def succeed(event: Event) -> None:
    """Record a success reply."""
    answer(event, "synced", status="success", bitrix_lead_id=event.user.id)


def fail(event: Event, *, is_transient: bool) -> None:
    answer(event, "failed", status="error", reason="HTTP 500", is_transient=is_transient)


def answer(event: Event, outcome: str, *, is_transient: bool = False, **extra: Any) -> None:
    fields = {"action": event.action, "user_id": event.user.id, "event_id": str(event.id)}
    settle.apply([ReceivedReply(Reply(**fields, **extra), outcome, is_transient=is_transient)])


def take_messages(url: str) -> list[pika.BasicProperties]:
    """Take all messages off the queue; returns their properties."""
    return [properties for properties, _ in take_with_bodies(url)]


def take_with_bodies(url: str) -> list[tuple[pika.BasicProperties, bytes]]:
    """Take all messages off the queue; returns the properties and the body of each."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    found = []
    while True:
        method, properties, body = channel.basic_get(topology.REQUESTS, auto_ack=True)
        if method is None:
            break
        found.append((properties, body))
    connection.close()
    return found


def publish_due(url: str) -> list[str]:
    """Make all events due and run the relay; returns the ids of the published events."""
    make_due()
    relay.run()
    return [str(properties.message_id) for properties in take_messages(url)]


def test_an_accepted_write_is_published_and_marked(in_rabbitmq: str) -> None:
    event = accept.create(ANN, key=None).event
    published = "SELECT FROM events WHERE sendings = 1"
    eventually(lambda: rows(published), 60, "the event is marked as published")
    (properties,) = take_messages(in_rabbitmq)
    assert properties.message_id == str(event.id)
    (row,) = rows("SELECT published_at, due_at FROM events")
    assert row["published_at"] is not None
    in_a_minute = datetime.now(UTC) + timedelta(seconds=60)
    assert abs(row["due_at"] - in_a_minute) < timedelta(seconds=30)


def test_a_write_is_accepted_without_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", NO_BROKER)
    assert accept.create(ANN, key=None).is_new
    (row,) = rows("SELECT state, published_at, sendings FROM events")
    assert row == {"state": "open", "published_at": None, "sendings": 0}


def test_an_unpublished_event_is_published_once_it_is_due(in_rabbitmq: str) -> None:
    event = create()
    assert relay.run().published == 0, "its function may still publish it"
    make_due()
    assert relay.run().published == 1
    assert relay.run().published == 0
    (properties,) = take_messages(in_rabbitmq)
    assert properties.message_id == str(event.id)
    assert properties.headers["ce-resent"] == "true"


def test_an_unanswered_event_is_republished_with_back_off(in_rabbitmq: str) -> None:
    create()
    waits = []
    for _ in range(8):
        make_due()
        assert relay.run().published == 1
        (row,) = rows("SELECT extract(epoch FROM due_at - now())::float AS wait_s FROM events")
        waits.append(row["wait_s"])
    expected = [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert [round(wait / 10) * 10 for wait in waits] == expected
    assert len(take_messages(in_rabbitmq)) == 8


def test_an_answered_event_is_not_republished(in_rabbitmq: str) -> None:
    event = create()
    make_due()
    relay.run()
    succeed(event)
    make_due()
    assert relay.run().published == 0
    assert len(take_messages(in_rabbitmq)) == 1


def test_a_transient_failure_is_republished_until_it_succeeds(
    in_rabbitmq: str,
) -> None:
    event = create()
    make_due()
    assert relay.run().published == 1
    for _ in range(2):
        fail(event, is_transient=True)
        assert relay.run().published == 0
        make_due()
        assert relay.run().published == 1
        assert rows("SELECT state, sendings >= 2 AS again FROM events") == [
            {"state": "failed", "again": True}
        ]
    succeed(event)
    make_due()
    assert relay.run().published == 0
    assert [message.headers.get("ce-resent") for message in take_messages(in_rabbitmq)] == [
        "true"
    ] * 3


def test_a_permanent_failure_is_not_republished(in_rabbitmq: str) -> None:
    event = create()
    make_due()
    relay.run()
    fail(event, is_transient=False)
    make_due()
    assert relay.run().published == 0
    assert len(take_messages(in_rabbitmq)) == 1


def test_a_failure_is_over_once_its_user_has_a_newer_version(in_rabbitmq: str) -> None:
    event = create()
    fail(event, is_transient=True)
    newer = write.change(event.user.id, Move(stage="JUNK"), expected_version=None, key=None).event
    make_due()
    assert relay.run().published == 1
    assert [message.message_id for message in take_messages(in_rabbitmq)] == [str(newer.id)]
    assert rows("SELECT state, due_at FROM events WHERE version = 1") == [
        {"state": "failed", "due_at": None}
    ]


def test_an_older_state_is_republished_only_if_the_newer_one_failed(
    in_rabbitmq: str,
) -> None:
    older = create()
    newer = write.change(older.user.id, Move(stage="JUNK"), expected_version=None, key=None).event
    assert publish_due(in_rabbitmq) == [older.id, newer.id], "each is published once in any case"
    assert publish_due(in_rabbitmq) == [newer.id]
    fail(newer, is_transient=False)
    assert publish_due(in_rabbitmq) == [older.id]


def test_an_event_with_a_newer_one_does_not_claim_to_be_the_newest(in_rabbitmq: str) -> None:
    """Redis may have applied and lost the newer event."""
    older = create()
    newer = write.change(older.user.id, Move(stage="JUNK"), expected_version=None, key=None).event
    execute("UPDATE events SET occurred_at = now() - interval '1 hour'")
    make_due()
    relay.run()
    found = take_messages(in_rabbitmq)
    ages = {
        message.message_id: time.time() * 1000 - int(message.headers["ce-sent"])
        for message in found
    }
    assert ages[older.id] > 3_000_000
    assert ages[newer.id] < 300_000
    fail(newer, is_transient=False)
    make_due()
    relay.run()
    (republished,) = take_messages(in_rabbitmq)
    assert republished.message_id == older.id
    assert time.time() * 1000 - int(republished.headers["ce-sent"]) < 300_000, (
        "or it would never be applied"
    )


def test_an_event_answered_before_it_is_marked_stays_answered() -> None:
    event = create()
    succeed(event)
    outbox.mark_published([str(event.id)])
    assert rows("SELECT state, sendings, due_at FROM events") == [
        {"state": "synced", "sendings": 1, "due_at": None}
    ]


def test_a_republished_event_carries_its_own_state_and_the_known_lead(in_rabbitmq: str) -> None:
    event = create()
    write.change(event.user.id, Move(stage="JUNK"), expected_version=None, key=None)
    execute("UPDATE users SET bitrix_lead_id = 456")
    make_due()
    assert relay.run().published == 2
    users = [orjson.loads(body)["data"]["user"] for _, body in take_with_bodies(in_rabbitmq)]
    assert {(user["stage"], user["bitrix_lead_id"]) for user in users} == {
        ("NEW", 456),
        ("JUNK", 456),
    }


def test_without_a_broker_everything_stays_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", NO_BROKER)
    soon = partialmethod(Publisher.publish, timeout_s=0.3)  # instead of five seconds
    monkeypatch.setattr(Publisher, "publish", soon)
    create()
    make_due()
    with pytest.raises(BrokerDown):
        relay.run()
    assert rows("SELECT sendings FROM events WHERE due_at <= now()") == [{"sendings": 0}]


def test_concurrent_relays_publish_each_event_once(in_rabbitmq: str) -> None:
    for _ in range(40):
        create()
    make_due()
    assert sum(in_threads(4, lambda _: relay.run().published)) == 40
    ids = [properties.message_id for properties in take_messages(in_rabbitmq)]
    assert len(ids) == len(set(ids)) == 40


def test_one_run_publishes_more_than_a_batch(
    in_rabbitmq: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 10)
    for _ in range(25):
        create()
    make_due()
    assert relay.run().published == 25
    assert len(take_messages(in_rabbitmq)) == 25


def test_a_batch_is_not_exceeded_however_postgres_plans(
    monkeypatch: pytest.MonkeyPatch, postgres: str
) -> None:
    monkeypatch.setattr(relay, "BATCH", 5)
    monkeypatch.setenv("AMQP_URL", NO_BROKER)

    def fill() -> None:
        for _ in range(12):
            create()
        make_due()

    refill_after_analyze(postgres, fill)
    with pytest.raises(BrokerDown, match="5 of 5 events"):
        relay.run()


@pytest.mark.usefixtures("in_rabbitmq")
def test_an_abandoned_claim_of_a_relay_expires() -> None:
    create()
    make_due()
    execute("UPDATE events SET due_at = now() + interval '30 seconds'")  # as a claim does
    assert relay.run().published == 0
    make_due()
    assert relay.run().published == 1
