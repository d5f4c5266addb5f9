"""Queues with other arguments are migrated while messages are published, and none is lost."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pytest

from leadline import process
from leadline.connector import queue_arguments
from leadline.connector.queue_depths import depths
from leadline.messages import topology
from leadline.runtime.rabbitmq.connection import Queue
from leadline.settings import settings
from local.sandbox.waiting import eventually
from tests.integration.conftest import CommandOutput

MAIN = topology.REQUESTS
DEAD = topology.dead_letter_name(MAIN)


@pytest.fixture(autouse=True)
def quorum(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Configure quorum queues."""
    monkeypatch.setenv("LEADLINE_QUEUE_TYPE", "quorum")
    process.forget(settings)
    yield
    process.forget(settings)


@pytest.fixture
def channel(in_rabbitmq: str) -> Iterator[Any]:
    """A channel with confirms to a broker without queues."""
    with pika.BlockingConnection(pika.URLParameters(in_rabbitmq)) as connection:
        channel = connection.channel()
        for queue in topology.all_queues():
            for name in (queue.name, queue_arguments.parking_name(queue.name)):
                channel.queue_delete(name)
        channel.confirm_delivery()
        yield channel
        for queue in topology.all_queues():
            channel.queue_delete(queue.name)


def declare_old(channel: Any, name: str = MAIN) -> None:
    """Declare the queue with the arguments of another version or type."""
    topology.declare(channel, Queue(name, {}))


def publish(channel: Any, body: bytes) -> None:
    """Publish to the exchange of the main queue, which has the same name; raises if unroutable."""
    properties = pika.BasicProperties(message_id=body.decode(), headers={"x": 1}, delivery_mode=2)
    channel.basic_publish(
        exchange=MAIN, routing_key=MAIN, body=body, properties=properties, mandatory=True
    )


def take_all(channel: Any, name: str = MAIN) -> list[tuple[bytes, Any]]:
    """Take all messages off the queue; returns the body and the properties of each."""
    found: list[tuple[bytes, Any]] = []
    while True:
        method, properties, body = channel.basic_get(name, auto_ack=True)
        if method is None:
            return found
        found.append((body, properties))


def test_queues_with_the_right_arguments_need_no_migration(channel: Any, in_rabbitmq: str) -> None:
    assert channel
    assert queue_arguments.declare_and_compare(in_rabbitmq) == {}
    assert queue_arguments.declare_and_compare(in_rabbitmq) == {}


def test_messages_keep_their_order_and_properties(channel: Any, in_rabbitmq: str) -> None:
    declare_old(channel)
    for number in range(20):
        publish(channel, b"%d" % number)
    assert "inequivalent arg" in queue_arguments.declare_and_compare(in_rabbitmq)[MAIN]
    assert queue_arguments.migrate(in_rabbitmq, MAIN) == 20
    assert queue_arguments.declare_and_compare(in_rabbitmq) == {}
    found = take_all(channel)
    assert [body for body, _ in found] == [b"%d" % number for number in range(20)]
    assert {(message.message_id, message.headers["x"]) for _, message in found} == {
        (str(number), 1) for number in range(20)
    }
    publish(channel, b"later")
    assert [body for body, _ in take_all(channel)] == [b"later"]


@contextmanager
def publishing(url: str) -> Iterator[set[bytes]]:
    """Publish continuously in a thread during the block; yields the confirmed bodies so far."""
    confirmed: set[bytes] = set()
    is_over = threading.Event()

    def run_until_over() -> None:
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            number = 0
            while not is_over.is_set():
                body = b"live-%d" % number
                publish(channel, body)
                confirmed.add(body)
                number += 1

    thread = threading.Thread(target=run_until_over)
    thread.start()
    try:
        eventually(lambda: confirmed, 60, "messages are published")
        yield confirmed
    finally:
        is_over.set()
        thread.join()


def test_messages_published_during_the_migration_are_neither_refused_nor_lost(
    channel: Any, in_rabbitmq: str
) -> None:
    declare_old(channel)
    for number in range(50):
        publish(channel, b"%d" % number)
    with publishing(in_rabbitmq) as confirmed:
        before = len(confirmed)
        queue_arguments.migrate(in_rabbitmq, MAIN)
        eventually(lambda: len(confirmed) > before + 10, 60, "messages are published afterwards")
    found = {body for body, _ in take_all(channel)}
    assert found == confirmed | {b"%d" % number for number in range(50)}


def test_a_queue_in_use_is_not_deleted(channel: Any, in_rabbitmq: str) -> None:
    """The queue's consumer may have messages that it has not acknowledged."""
    declare_old(channel)
    publish(channel, b"held")
    publish(channel, b"other")
    with pika.BlockingConnection(pika.URLParameters(in_rabbitmq)) as consumer:
        held: list[bytes] = []
        consuming = consumer.channel()
        consuming.basic_qos(prefetch_count=1)
        consuming.basic_consume(MAIN, lambda *got: held.append(got[3]))
        eventually(
            lambda: consumer.process_data_events(0.1) or held, 60, "the consumer has a message"
        )
        with pytest.raises(queue_arguments.QueueInUse):
            queue_arguments.migrate(in_rabbitmq, MAIN)
        publish(channel, b"meanwhile")
    queue_arguments.migrate(in_rabbitmq, MAIN)
    assert {body for body, _ in take_all(channel)} == {b"held", b"other", b"meanwhile"}


@pytest.mark.parametrize("interrupted_step", ["_empty_and_delete", "_restore", "_delete"])
def test_an_interrupted_migration_continues(
    channel: Any, in_rabbitmq: str, monkeypatch: pytest.MonkeyPatch, interrupted_step: str
) -> None:
    declare_old(channel)
    publish(channel, b"before")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(queue_arguments, interrupted_step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            queue_arguments.migrate(in_rabbitmq, MAIN)
    publish(channel, b"meanwhile")
    assert MAIN in queue_arguments.declare_and_compare(in_rabbitmq)
    queue_arguments.migrate(in_rabbitmq, MAIN)
    assert queue_arguments.declare_and_compare(in_rabbitmq) == {}
    assert {body for body, _ in take_all(channel)} == {b"before", b"meanwhile"}


def test_dead_letters_and_delayed_messages_are_migrated_too(channel: Any, in_rabbitmq: str) -> None:
    delayed = topology.delay_name(MAIN, 60)
    for name in (DEAD, delayed):
        channel.queue_declare(name, durable=True)
        channel.basic_publish("", name, b"kept", mandatory=True)
    assert queue_arguments.declare_and_compare(in_rabbitmq).keys() == {DEAD, delayed}
    for name in (DEAD, delayed):
        assert queue_arguments.migrate(in_rabbitmq, name) == 1
    assert [body for body, _ in take_all(channel, DEAD)] == [b"kept"]
    assert [body for body, _ in take_all(channel, delayed)] == [b"kept"]


def test_quorum_queues_become_classic_ones(
    channel: Any, in_rabbitmq: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NestJS service that is added later requires classic queues."""
    topology.declare(channel, topology.main_queue(MAIN))
    publish(channel, b"kept")
    monkeypatch.setenv("LEADLINE_QUEUE_TYPE", "classic")
    process.forget(settings)
    assert queue_arguments.migrate(in_rabbitmq, MAIN) == 1
    channel.queue_declare(MAIN, durable=True)
    assert [body for body, _ in take_all(channel)] == [b"kept"]


@pytest.mark.usefixtures("in_postgres")
def test_the_command_shows_queues_and_migrates_after_confirmation(
    channel: Any, in_rabbitmq: str, leadline: Callable[..., CommandOutput]
) -> None:
    declare_old(channel)
    publish(channel, b"kept")
    output = leadline("queues", "--json")
    assert output.code == 1
    assert MAIN in [queue["queue"] for queue in output.json["queues"]]
    refused = leadline("queues", "--migrate", "--json")
    assert (refused.code, "not_confirmed" in refused.err) == (2, True)
    result = leadline("queues", "--migrate", "--yes", "--json")
    assert result.code == 0, result.err
    assert {"queue": MAIN, "moved": 1} in result.json["migrated"]
    repeat = leadline("queues")
    assert (repeat.code, "as they should be" in repeat.err) == (0, True)
    assert depths(in_rabbitmq, [queue_arguments.parking_name(MAIN)]) == {
        queue_arguments.parking_name(MAIN): None  # there is no such queue
    }
