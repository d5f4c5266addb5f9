"""The connector posts messages in batches, and acknowledges them in as few frames as possible."""

import queue
import threading
from collections.abc import Callable, Iterator
from unittest.mock import Mock, call

import pika
import pytest
from pika.exceptions import ConnectionWrongStateError

from leadline.connector.deliveries import Deliveries
from leadline.connector.message import SERVED, ReceivedMessage, Verdict
from leadline.runtime.rabbitmq.connection import Message

#: How long a test waits for another thread; much longer than a slow machine needs.
WAIT_S = 60


class Harness:
    """Deliveries of one channel, and a function that records the tags of each post.

    A post of a `held` tag waits for its event. A message gets its verdict of `verdicts`, else it is
    served. The connection's callbacks run when the test calls `run_callbacks`.
    """

    def __init__(self) -> None:
        self.channel, self.connection, self.client = Mock(), Mock(), Mock()
        self.callbacks: queue.Queue[Callable[[], None]] = queue.Queue()
        self.connection.add_callback_threadsafe = self.callbacks.put
        self.client.deliver = self._deliver
        self.client.deliver_batch = self._deliver_batch
        self.held: dict[int, threading.Event] = {}
        self.verdicts: dict[int, Verdict] = {}
        self.posted: list[list[int]] = []
        self.auxiliary = Mock()
        self.auxiliary.put = self._put
        self.is_confirmed = True
        self.put_into: list[str] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.connection.call_later = lambda delay_s, work: self.timers.append((delay_s, work))
        self.deliveries = Deliveries(
            self.connection, self.channel, self.client, self.auxiliary, prefetch=8
        )

    def receive(self, *tags: int) -> None:
        """Take messages with these tags from RabbitMQ, and post them if a slot is free."""
        for tag in tags:
            self.add(tag)
        self.deliveries.post()

    def add(self, tag: int) -> None:
        """Take a message with this tag from RabbitMQ; it waits for the next post."""
        properties = pika.BasicProperties()
        self.deliveries.add(ReceivedMessage(self.channel, tag, "q", properties, b"{}", attempt=1))

    def receive_and_hold(self, tag: int) -> None:
        """Take a message that fails and whose delay queue is unavailable."""
        self.verdicts[tag] = Verdict(is_served=False, reason="no")
        self.is_confirmed = False
        self.receive(tag)
        self.run_callbacks(2)

    def run_callbacks(self, count: int) -> None:
        """Run the next callbacks of the connection, waiting for each, as its thread does."""
        for _ in range(count):
            self.callbacks.get(timeout=WAIT_S)()
            self.deliveries.post()

    def take_acknowledgements(self) -> list[object]:
        """The acknowledgements sent since the last call."""
        found = [*self.channel.basic_ack.mock_calls]
        self.channel.basic_ack.reset_mock()
        return found

    def _put(self, message: Message, done: Callable[[bool], None]) -> None:
        self.put_into.append(message.queue)
        done(self.is_confirmed)

    def _deliver(self, message: ReceivedMessage) -> Verdict:
        self.posted.append([message.tag])
        if message.tag in self.held:
            assert self.held[message.tag].wait(WAIT_S)
        return self.verdicts.get(message.tag, SERVED)

    def _deliver_batch(self, messages: list[ReceivedMessage]) -> list[ReceivedMessage]:
        """Record the post, and return the messages that were not served."""
        self.posted.append([message.tag for message in messages])
        return [message for message in messages if message.tag in self.verdicts]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    # However slow this machine is, no post counts as slow.
    monkeypatch.setattr("leadline.connector.deliveries.SLOW_AFTER_S", 3600)
    harness = Harness()
    yield harness
    for event in harness.held.values():
        event.set()
    harness.deliveries.close()


def test_messages_that_arrive_together_share_a_post_and_an_acknowledgement(
    harness: Harness,
) -> None:
    harness.receive(1, 2, 3)
    harness.run_callbacks(1)
    assert harness.posted == [[1, 2, 3]]
    assert harness.take_acknowledgements() == [call(3, multiple=True)]
    assert harness.deliveries.is_done


def test_an_acknowledgement_covers_no_later_message(harness: Harness) -> None:
    harness.held[1] = threading.Event()
    harness.receive(1)
    harness.receive(2, 3)
    harness.run_callbacks(1)
    assert harness.take_acknowledgements() == [call(2), call(3)]
    harness.receive(4)
    harness.run_callbacks(1)
    harness.held[1].set()
    harness.run_callbacks(1)
    assert harness.take_acknowledgements() == [call(4), call(1, multiple=True)]
    assert harness.deliveries.is_done


def test_a_failed_message_is_acknowledged_after_its_own_verdict(harness: Harness) -> None:
    harness.verdicts[2] = Verdict(is_served=False, is_final=True, reason="no")
    harness.receive(1, 2, 3, 4)
    harness.run_callbacks(1)
    assert harness.take_acknowledgements() == [call(1, multiple=True), call(3), call(4)]
    harness.run_callbacks(1)
    assert harness.posted == [[1, 2, 3, 4], [2]]
    harness.run_callbacks(1)
    assert harness.put_into == ["q.dead"]
    assert harness.take_acknowledgements() == [call(2, multiple=True)]


def test_while_two_posts_are_in_flight_further_messages_wait(harness: Harness) -> None:
    harness.held = {1: threading.Event(), 2: threading.Event()}
    harness.receive(1)
    harness.receive(2)
    harness.receive(3)
    harness.receive(4)
    harness.held[1].set()
    harness.run_callbacks(2)
    assert sorted(harness.posted) == [[1], [2], [3, 4]]


def test_one_post_carries_at_most_half_of_the_prefetch(harness: Harness) -> None:
    harness.receive(*range(1, 9))
    harness.run_callbacks(2)
    assert sorted(harness.posted) == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert harness.deliveries.is_done


def test_a_message_that_cannot_be_delayed_is_held_and_delivered_again_with_its_attempts_counted(
    harness: Harness,
) -> None:
    harness.receive_and_hold(1)
    harness.receive(2)
    harness.run_callbacks(1)
    assert harness.take_acknowledgements() == [call(2)]
    assert harness.deliveries.is_done  # RabbitMQ may deliver the held one to another consumer
    for expected_s in (1, 4, 15):  # as long as the delay queues would have kept it
        ((delay_s, redeliver),) = harness.timers
        assert delay_s == expected_s
        harness.timers.clear()
        redeliver()
        harness.deliveries.post()
        assert not harness.deliveries.is_done
        harness.run_callbacks(2)
    assert harness.posted == [[1], [2], [1], [1], [1]]
    assert harness.put_into == ["q.delay.1s", "q.delay.4s", "q.delay.15s", "q.delay.60s"]
    harness.is_confirmed = True
    _, redeliver = harness.timers.pop()
    redeliver()
    harness.deliveries.post()
    harness.run_callbacks(2)
    assert harness.take_acknowledgements() == [call(1, multiple=True)]


def test_a_held_message_in_a_batch_with_a_newer_one_leaves_neither_unacknowledged(
    harness: Harness,
) -> None:
    harness.receive_and_hold(1)
    del harness.verdicts[1]
    harness.add(2)
    harness.timers.pop()[1]()
    harness.deliveries.post()
    harness.run_callbacks(1)
    assert harness.posted == [[1], [2, 1]]
    assert harness.take_acknowledgements() == [call(2, multiple=True)]


def test_a_copy_confirmed_after_the_connection_was_lost_is_no_error(harness: Harness) -> None:
    harness.verdicts[1] = Verdict(is_served=False, is_final=True, reason="no")
    harness.receive(1)
    settle = harness.callbacks.get(timeout=WAIT_S)
    harness.connection.add_callback_threadsafe = Mock(side_effect=ConnectionWrongStateError)
    settle()
    assert harness.put_into == ["q.dead"]
    assert harness.take_acknowledgements() == []
