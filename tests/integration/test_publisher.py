"""The publisher on a real RabbitMQ: a message counts as published only once the broker has it."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pika
import pytest
import structlog
from pika.adapters.blocking_connection import BlockingChannel

from leadline.errors import BadConfiguration
from leadline.ledger import outbox
from leadline.ledger.event import Event
from leadline.messages import topology
from leadline.runtime.concurrency import greenlets
from leadline.runtime.rabbitmq.connection import Message, Queue
from leadline.runtime.rabbitmq.publisher import Publisher
from leadline.runtime.telemetry import trace_context
from leadline.runtime.telemetry.log import add_context
from leadline.users.model import LeadId, User, UserId

QUEUE = topology.REQUESTS


def message(number: int = 1, **extra: Any) -> Message:
    return Message(QUEUE, b'{"n": %d}' % number, f"m-{number}", **extra)


@contextmanager
def channel_to(url: str) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection.channel()
    finally:
        connection.close()


def take_ids(url: str) -> list[str]:
    """Take all messages off the queue; returns their ids."""
    with channel_to(url) as channel:
        found: list[str] = []
        while True:
            method, properties, _ = channel.basic_get(QUEUE, auto_ack=True)
            if method is None:
                return found
            found.append(properties.message_id)


@pytest.fixture
def publisher(amqp_url: str) -> Iterator[Publisher]:
    publisher = Publisher(amqp_url, topology.queues_of(QUEUE))
    yield publisher
    publisher.close()


def test_a_confirmed_message_is_in_its_queue(publisher: Publisher, amqp_url: str) -> None:
    assert publisher.publish([message(1), message(2)], timeout_s=60) == [True, True]
    assert take_ids(amqp_url) == ["m-1", "m-2"]


def test_publishing_nothing_needs_no_broker() -> None:
    assert Publisher("amqp://127.0.0.1:1/", ()).publish([]) == []


def test_an_event_is_on_the_wire_exactly_as_documented(amqp_url: str) -> None:
    event = Event(
        id="01990000-0000-7000-8000-000000000001",
        action="create_card",
        user=User(UserId(123), "Иван Иванов", "+77001112233", "NEW"),
        version=1,
        bitrix_lead_id=LeadId(9),
        changed=("full_name", "phone", "stage"),
        stage_version=1,
        occurred_at=datetime(2026, 1, 31, 12, tzinfo=UTC),
        correlation_id="call-1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    publisher = Publisher(amqp_url, topology.queues_of(QUEUE))
    both = [outbox.to_message(event), outbox.to_message(event, republished=True)]
    assert publisher.publish(both, timeout_s=60) == [True, True]
    publisher.close()
    with channel_to(amqp_url) as channel:
        _, properties, body = channel.basic_get(QUEUE, auto_ack=True)
        _, resent, _ = channel.basic_get(QUEUE, auto_ack=True)
    assert properties.delivery_mode == 2
    assert properties.content_type == "application/json"
    assert properties.message_id == event.id
    assert properties.correlation_id == "call-1"
    # A quorum queue adds its own header.
    assert properties.headers.pop("x-delivery-count", 0) == 0
    assert properties.headers == {
        "ce-specversion": "1.0",
        "ce-type": "leadline.user_created",
        "ce-id": event.id,
        "ce-source": "/leadline",
        "ce-time": "2026-01-31T12:00:00.000Z",
        # When the event was the newest: when it occurred, unless the relay sets another time.
        "ce-sent": str(int(event.occurred_at.timestamp() * 1000)),
        "ce-changed": "full_name,phone,stage",
        "traceparent": event.traceparent,
    }
    assert resent.headers["ce-resent"] == "true"
    assert body.decode().startswith(
        '{"pattern":"user_created","data":{"action":"create_card","user"'
    )
    assert list(json.loads(body)["data"]) == [
        "action",
        "user",
        "replyQueue",
        "event_id",
        "version",
        "occurred_at",
    ]


def test_a_deleted_queue_is_reported_and_declared_again(
    publisher: Publisher, amqp_url: str
) -> None:
    assert publisher.publish([message(1)], timeout_s=60) == [True]
    with channel_to(amqp_url) as channel:
        channel.queue_delete(QUEUE)
    assert publisher.publish([message(2)]) == [False]
    assert publisher.publish([message(3)], timeout_s=60) == [True]
    assert take_ids(amqp_url) == ["m-3"]


def test_a_message_that_the_broker_nacks_is_not_confirmed(amqp_url: str) -> None:
    """A full queue nacks, and so does one whose replicas are down."""
    full = Queue("test.full", {"x-max-length": 1, "x-overflow": "reject-publish"})
    publisher = Publisher(amqp_url, [full])
    outcomes = []
    for number in range(3):
        outcomes += publisher.publish([Message(full.name, b"{}", f"m-{number}")], timeout_s=60)
    publisher.close()
    with channel_to(amqp_url) as channel:
        channel.queue_delete(full.name)
    assert outcomes == [True, False, False]


def test_an_unroutable_message_does_not_affect_the_others(
    publisher: Publisher, amqp_url: str
) -> None:
    # Messages of other senders may have no id, or the same one.
    lost = [
        Message("no.such.queue", b"%d" % number, id_) for number, id_ in enumerate(["x", "", ""])
    ]
    routable = [Message(QUEUE, b"{}", message_id=""), message(1), message(2)]
    alternating = [outgoing for pair in zip(routable, lost, strict=True) for outgoing in pair]
    assert publisher.publish(alternating, timeout_s=60) == [True, False] * 3
    assert take_ids(amqp_url) == ["", "m-1", "m-2"]


def test_a_publisher_needs_only_the_queue_that_it_publishes_to(amqp_url: str) -> None:
    others = [
        queue for queue in topology.all_queues() if queue.name not in (QUEUE, topology.REPLIES)
    ]
    with channel_to(amqp_url) as channel:
        for queue in others:  # as another client has declared them
            channel.queue_declare(queue.name, durable=True, arguments={"x-max-length": 7})
    publisher = Publisher(amqp_url, topology.queues_of(QUEUE))
    try:
        assert publisher.publish([message(1)], timeout_s=60) == [True]
    finally:
        publisher.close()
    assert take_ids(amqp_url) == ["m-1"]


def test_eight_threads_publish_at_once_and_each_message_is_confirmed_once(
    publisher: Publisher, amqp_url: str
) -> None:
    confirmed: list[str] = []
    recorded = threading.Semaphore(0)

    def offer(thread: int) -> None:
        for step in range(100):
            outgoing = message(thread * 1000 + step)

            def record(is_confirmed: bool, name: str = outgoing.message_id) -> None:  # noqa: FBT001
                confirmed.append(name if is_confirmed else "lost")
                recorded.release()

            publisher.offer(outgoing, record, timeout_s=60)

    threads = [threading.Thread(target=offer, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(800):
        assert recorded.acquire(timeout=60)
    assert len(set(confirmed)) == 800
    assert sorted(take_ids(amqp_url)) == sorted(confirmed)


def test_close_waits_for_messages_in_flight(amqp_url: str) -> None:
    publisher = Publisher(amqp_url, topology.queues_of(QUEUE))
    outcomes: list[bool] = []
    for number in range(300):
        publisher.offer(message(number), outcomes.append, timeout_s=60)
    publisher.close(timeout_s=60)
    assert outcomes == [True] * 300
    assert len(take_ids(amqp_url)) == 300
    publisher.offer(message(), outcomes.append)
    assert outcomes[-1] is False


def test_close_sends_messages_of_greenlets_even_if_their_loop_has_stopped(
    amqp_url: str,
) -> None:
    publisher = Publisher(amqp_url, topology.queues_of(QUEUE))
    outcomes: list[bool] = []

    async def offer_all() -> None:
        for number in range(300):
            offer = partial(publisher.offer, message(number), outcomes.append, timeout_s=60)
            await greenlets.spawn(offer)

    with asyncio.Runner() as runner:
        runner.run(offer_all())
        publisher.close(timeout_s=60)
    assert outcomes == [True] * 300
    assert len(take_ids(amqp_url)) == 300


def test_an_unreachable_broker_is_reported_in_time_and_never_raises() -> None:
    publisher = Publisher("amqp://127.0.0.1:1/", topology.queues_of(QUEUE))
    began = time.monotonic()
    assert publisher.publish([message(1), message(2)], timeout_s=0.5) == [False, False]
    assert time.monotonic() - began < 30
    publisher.close(timeout_s=0.2)


def test_memory_is_bounded_while_the_broker_is_down() -> None:
    publisher = Publisher("amqp://127.0.0.1:1/", (), max_waiting=100)
    outcomes: list[bool] = []
    for number in range(150):
        publisher.offer(message(number), outcomes.append, timeout_s=60)
    assert outcomes == [False] * 50
    publisher.close(timeout_s=0.2)


def test_messages_left_unsent_by_close_are_reported() -> None:
    publisher = Publisher("amqp://127.0.0.1:1/", ())
    outcomes: list[bool] = []
    publisher.offer(message(), outcomes.append, timeout_s=60)
    publisher.close(timeout_s=0.2)
    assert outcomes == [False]


def test_log_lines_of_the_connection_carry_no_callers_id() -> None:
    logged = structlog.testing.LogCapture()
    publisher = Publisher("amqp://127.0.0.1:1/", ())
    processors: list[Any] = [add_context, logged]
    trace_context.begin("somebody")
    structlog.configure(processors=processors)
    try:
        assert publisher.publish([message()], timeout_s=0.5) == [False]
        publisher.close(timeout_s=0.2)
    finally:
        structlog.reset_defaults()
    reported = [line for line in logged.entries if line["event"] == "no connection to the broker"]
    assert {line.get("correlation_id") for line in reported} == {None}


def test_a_message_that_amqp_cannot_carry_is_reported_and_does_not_affect_the_others(
    publisher: Publisher, amqp_url: str
) -> None:
    too_long = message(2, correlation_id="я" * 128)  # 256 bytes, and AMQP allows 255
    assert publisher.publish([message(1), too_long, message(3)], timeout_s=60) == [
        True,
        False,
        True,
    ]
    assert publisher.publish([message(4)], timeout_s=60) == [True]
    assert take_ids(amqp_url) == ["m-1", "m-3", "m-4"]


def test_any_call_id_of_a_client_can_be_carried(publisher: Publisher, amqp_url: str) -> None:
    for sent in ("é" * 128, "Ã©" * 64, "x" * 128, "a\tb", ""):
        trace = trace_context.begin(sent)
        outgoing = message(correlation_id=trace.correlation_id)
        (is_confirmed,) = publisher.publish([outgoing], timeout_s=60)
        assert is_confirmed
    assert len(take_ids(amqp_url)) == 5


def test_an_invalid_url_is_not_quoted() -> None:
    with pytest.raises(BadConfiguration) as caught:
        Publisher("amqp://user:hunter2@host:port/", ())
    assert "hunter2" not in str(caught.value)
