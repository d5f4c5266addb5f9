"""The publisher while RabbitMQ freezes, dies and recovers."""

import threading
import time
from collections.abc import Iterator

import pika
import psutil
import pytest

from leadline.messages import topology
from leadline.runtime.rabbitmq.connection import Message
from leadline.runtime.rabbitmq.publisher import Publisher
from tests.faults.bench_parts import rabbitmqctl
from tests.servers import PrivateServer, eventually, private


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    folder = tmp_path_factory.mktemp("broker")
    server = private("rabbitmq", folder)
    server.start()
    publisher = Publisher(server.url, topology.queues_of(topology.REQUESTS))
    assert publish(publisher, 0, timeout_s=60)
    publisher.close()
    # RabbitMQ 3.10 may lose a quorum queue if it is killed within a second of its declaration:
    # until it has written the queue's records to disk.
    command(server, "eval", "mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()].")
    yield server
    server.stop()


@pytest.fixture
def publisher(broker: PrivateServer) -> Iterator[Publisher]:
    publisher = Publisher(broker.url, topology.queues_of(topology.REQUESTS))
    assert publish(publisher, 0, timeout_s=60)
    yield publisher
    publisher.close()


def take_ids(broker: PrivateServer) -> set[str]:
    """Take all messages off the queue; returns their ids."""
    ids: set[str] = set()
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        while True:
            method, properties, _ = channel.basic_get(topology.REQUESTS, auto_ack=True)
            if method is None:
                return ids
            ids.add(str(properties.message_id))


def command(broker: PrivateServer, *words: str) -> None:
    """Give the broker an operator's command."""
    rabbitmqctl(psutil.Process(broker.pid).environ(), *words)


def set_memory_limit(broker: PrivateServer, *limit: str) -> None:
    """Set the memory above which the broker blocks publishers."""
    command(broker, "set_vm_memory_high_watermark", *limit)


def publish(publisher: Publisher, number: int, timeout_s: float = 5.0) -> bool:
    message = Message(topology.REQUESTS, b"{}", f"m-{number}")
    return publisher.publish([message], timeout_s=timeout_s) == [True]


def test_a_frozen_broker_confirms_nothing_and_blocks_no_caller(
    broker: PrivateServer, publisher: Publisher
) -> None:
    broker.freeze()
    began = time.monotonic()
    assert not publish(publisher, 1, timeout_s=1)
    assert time.monotonic() - began < 30
    began = time.monotonic()
    outcomes: list[bool] = []
    for number in range(2, 50):
        message = Message(topology.REQUESTS, b"{}", f"m-{number}")
        publisher.offer(message, outcomes.append, timeout_s=3)
    assert time.monotonic() - began < 48 * 3 / 4, "offers do not wait for their time-outs"
    eventually(lambda: outcomes == [False] * 48, 60, "each message has been reported")
    broker.thaw()
    eventually(
        lambda: publish(publisher, 99, timeout_s=1),
        60,
        "messages to a thawed broker are confirmed again",
    )


def test_unconfirmed_messages_of_a_frozen_broker_wait_in_our_own_buffer(
    broker: PrivateServer, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages handed to the connection cost memory until the connection is abandoned."""
    monkeypatch.setattr("leadline.runtime.rabbitmq.confirms.MAX_UNCONFIRMED", 10)
    take_ids(broker)
    broker.freeze()
    many = [Message(topology.REQUESTS, b"{}", f"m-{number}") for number in range(100)]
    assert publisher.publish(many, timeout_s=0.4) == [False] * 100
    broker.thaw()
    eventually(
        lambda: publish(publisher, 100, timeout_s=1),
        60,
        "messages to a thawed broker are confirmed again",
    )
    assert len(take_ids(broker) & {message.message_id for message in many}) <= 10
    assert publisher.publish(many, timeout_s=60) == [True] * 100


@pytest.mark.slow("RabbitMQ checks its memory every few seconds")
def test_the_publisher_waits_for_a_broker_that_is_short_of_memory(
    broker: PrivateServer, publisher: Publisher
) -> None:
    set_memory_limit(broker, "absolute", "1")
    try:
        # The first message reveals it: the broker stops reading from publishers only.
        assert not publish(publisher, 1, timeout_s=1)
        began = time.monotonic()
        assert not publish(publisher, 2, timeout_s=1)
        assert time.monotonic() - began < 30
    finally:
        set_memory_limit(broker, "0.6")
    eventually(
        lambda: publish(publisher, 3, timeout_s=2),
        60,
        "messages are confirmed once there is memory",
    )


@pytest.mark.slow("RabbitMQ starts again")
def test_no_message_is_forgotten_when_the_broker_dies_with_or_without_load(
    broker: PrivateServer, publisher: Publisher
) -> None:
    reported: list[bool] = []
    stop = threading.Event()
    offered = [0, 0, 0, 0]

    def offer_until_stopped(thread: int) -> None:
        while not stop.is_set():
            message = Message(topology.REQUESTS, b"{}", f"{thread}-{offered[thread]}")
            offered[thread] += 1
            loaded.offer(message, reported.append, timeout_s=2)
            stop.wait(0.002)

    loaded = Publisher(broker.url, topology.queues_of(topology.REQUESTS))
    threads = [threading.Thread(target=offer_until_stopped, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: reported.count(True) > 200, 60, "messages are confirmed")
    broker.kill()
    assert not publish(publisher, 1, timeout_s=1)
    eventually(lambda: reported.count(False) > 20, 60, "messages are reported as not confirmed")
    broker.start()
    confirmed = reported.count(True)
    eventually(lambda: reported.count(True) > confirmed + 200, 60, "messages are confirmed again")
    stop.set()
    for thread in threads:
        thread.join()
    eventually(lambda: len(reported) == sum(offered), 60, "each message was reported once")
    loaded.close()
    eventually(
        lambda: publish(publisher, 2, timeout_s=2),
        60,
        "messages to a restarted broker are confirmed",
    )
