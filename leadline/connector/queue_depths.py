"""Queue depths: the number of messages and consumers, by passive declaration."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError, ChannelClosedByBroker

from leadline.errors import BrokerDown
from leadline.runtime.rabbitmq.connection import parameters

#: RabbitMQ's code if a queue or an exchange does not exist.
NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Depth:
    """The depth of a queue."""

    #: Messages ready for delivery.
    messages: int
    consumers: int


def depths(url: str, names: Iterable[str]) -> dict[str, Depth | None]:
    """The depth of each queue, None if it does not exist.

    Raises:
        BrokerDown: RabbitMQ can't be reached.
    """
    with open_connection(url) as connection:
        return {name: depth(connection, name) for name in names}


def depth(connection: pika.BlockingConnection, name: str) -> Depth | None:
    """The depth of one queue, None if it does not exist."""
    channel = connection.channel()
    try:
        declared = channel.queue_declare(name, passive=True).method
    except ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise
        return None
    channel.close()
    return Depth(declared.message_count, declared.consumer_count)


@contextmanager
def open_connection(url: str) -> Iterator[pika.BlockingConnection]:
    """A connection for this block; errors of the broker in it are raised as BrokerDown."""
    try:
        connection = pika.BlockingConnection(parameters(url))
        try:
            yield connection
        finally:
            if connection.is_open:
                connection.close()
    except (AMQPError, AMQPConnectorException, OSError):
        raise BrokerDown("RabbitMQ can't be reached") from None
