"""Changes the arguments of existing queues, which RabbitMQ itself can't.

The messages move to a parking queue, the queue is deleted and declared again, and they move back.
Each message is deleted only after RabbitMQ has confirmed its copy. Meanwhile the exchange of a main
queue routes to its parking queue, so publishing goes on. An interrupted migration continues when it
is repeated.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pika
import structlog
from pika.exceptions import (
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    NackError,
    UnroutableError,
)

from leadline.connector.queue_depths import depth, open_connection
from leadline.errors import BrokerDown, LeadlineError
from leadline.messages import topology
from leadline.runtime.rabbitmq.connection import Queue, reason_of

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

log = structlog.get_logger()

_DEFAULT_EXCHANGE = ""
#: RabbitMQ's answer if a queue is in use, not empty, or declared with other arguments.
_PRECONDITION_FAILED = 406
#: Its answer to conditions of a deletion that a type of queue does not support; it closes the
#: connection.
_NOT_IMPLEMENTED = 540


class QueueInUse(LeadlineError):
    """Programs consume the queue: deleting it now could lose what they have not acknowledged."""

    def __init__(self, name: str, consumers: int) -> None:
        self.name, self.consumers = name, consumers
        super().__init__(
            f"{name} has {consumers} consumers: stop the connectors of the earlier version first"
        )


def parking_name(name: str) -> str:
    """The name of a queue's parking queue."""
    return f"{name}.moved"


def declare_and_compare(url: str) -> dict[str, str]:
    """Declare all queues; returns those that must be migrated, each with RabbitMQ's reason.

    Raises:
        BrokerDown: RabbitMQ can't be reached.
    """
    with open_connection(url) as connection:
        reasons = {
            queue.name: _declare_and_compare(connection, queue) for queue in topology.all_queues()
        }
    return {name: reason for name, reason in reasons.items() if reason}


def migrate(url: str, name: str) -> int:
    """Give this queue the arguments that it should have; returns how many messages moved.

    Raises:
        QueueInUse: the queue keeps its arguments; its messages and new ones are parked.
        BrokerDown: RabbitMQ can't be reached, or does not confirm; safe to repeat.
    """
    (queue,) = (candidate for candidate in topology.all_queues() if candidate.name == name)
    moved = 0
    with open_connection(url) as connection:
        parking_queue = _park(connection, queue)
        is_refused = bool(_declare(connection, queue))
    if is_refused:
        moved = _empty_and_delete(url, queue.name, parking_queue)
    with open_connection(url) as connection:
        _restore(connection, queue, parking_queue)
    # What an interrupted migration had parked moves now, too.
    return max(moved, _empty_and_delete(url, parking_queue, queue.name))


def _declare_and_compare(connection: pika.BlockingConnection, queue: Queue) -> str:
    """Declare the queue; returns why it must be migrated, "" if it need not be."""
    if refusal := _declare(connection, queue):
        return refusal
    is_interrupted = depth(connection, parking_name(queue.name)) is not None
    return "a migration was interrupted" if is_interrupted else ""


def _declare(connection: pika.BlockingConnection, queue: Queue) -> str:
    """Declare the queue; returns what RabbitMQ says if it exists with other arguments."""
    try:
        with _channel(connection) as channel:
            channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
    except ChannelClosedByBroker as error:
        if error.reply_code != _PRECONDITION_FAILED:
            raise
        return reason_of(error)
    return ""


def _park(connection: pika.BlockingConnection, queue: Queue) -> str:
    """Route new messages to the parking queue; returns its name."""
    parking_queue = parking_name(queue.name)
    with _channel(connection) as channel:
        # Without arguments that would delete or reject messages; replicated if the new queue is.
        kind = queue.arguments.get("x-queue-type", "classic")
        channel.queue_declare(parking_queue, durable=True, arguments={"x-queue-type": kind})
        if not queue.is_auxiliary:
            channel.exchange_declare(queue.name, "direct", durable=True)
            # In this order: a message is in both rather than in neither.
            channel.queue_bind(parking_queue, queue.name, routing_key=queue.name)
            channel.queue_unbind(queue.name, queue.name, routing_key=queue.name)
    return parking_queue


def _restore(connection: pika.BlockingConnection, queue: Queue, parking_queue: str) -> None:
    """Declare the queue with its new arguments, and route new messages to it again."""
    with _channel(connection) as channel:
        if queue.is_auxiliary:
            channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
            return
        topology.declare(channel, queue)
        channel.queue_unbind(parking_queue, queue.name, routing_key=queue.name)


def _empty_and_delete(url: str, name: str, target: str) -> int:
    """Move all messages to the target and delete the queue; returns how many moved."""
    moved = 0
    while True:
        with open_connection(url) as connection:
            with _channel(connection) as channel:
                channel.confirm_delivery()
                moved += _move(channel, name, target)
            remaining = depth(connection, name)
        if remaining is None:
            return moved
        if remaining.consumers:
            raise QueueInUse(name, remaining.consumers)
        if not remaining.messages and _delete(url, name):
            return moved


def _move(channel: "BlockingChannel", source: str, target: str) -> int:
    moved = 0
    while True:
        method, properties, body = channel.basic_get(source)
        if method is None:
            return moved
        try:
            channel.basic_publish(_DEFAULT_EXCHANGE, target, body, properties, mandatory=True)
        except (NackError, UnroutableError):
            raise BrokerDown(f"RabbitMQ did not confirm a message for {target}") from None
        channel.basic_ack(method.delivery_tag)
        moved += 1


def _delete(url: str, name: str) -> bool:
    """Delete the queue; False if it has messages or consumers by now."""
    with open_connection(url) as connection:
        try:
            with _channel(connection) as channel:
                channel.queue_delete(name, if_unused=True, if_empty=True)
        except ChannelClosedByBroker as error:
            if error.reply_code != _PRECONDITION_FAILED:
                raise
            return False
        except ConnectionClosedByBroker as error:
            if error.reply_code != _NOT_IMPLEMENTED:
                raise
        else:
            return True
    return _delete_quorum_queue(url, name)


def _delete_quorum_queue(url: str, name: str) -> bool:
    """As `_delete`: RabbitMQ does not delete quorum queues on conditions."""
    with open_connection(url) as connection:
        remaining = depth(connection, name)
        if remaining is None or remaining.messages or remaining.consumers:
            return remaining is None
        with _channel(connection) as channel:
            lost = channel.queue_delete(name).method.message_count
    if lost:
        log.error("messages published to the default exchange were lost", queue=name, messages=lost)
    return True


@contextmanager
def _channel(connection: pika.BlockingConnection) -> Iterator["BlockingChannel"]:
    """A channel for this block: an error of the broker ends the channel, not the connection."""
    channel = connection.channel()
    yield channel
    channel.close()
