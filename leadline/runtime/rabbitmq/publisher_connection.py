"""The publisher's connection: a channel with confirms, and the queues that it publishes to.

A connection belongs to one event loop; all but the properties is called on it.
"""

import asyncio
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
from pika.exceptions import (
    ChannelClosedByBroker,
    ShortStringTooLong,
    UnsupportedAMQPFieldException,
)

from leadline.runtime import secrets
from leadline.runtime.concurrency import greenlets
from leadline.runtime.rabbitmq.confirms import Confirms
from leadline.runtime.rabbitmq.connection import Message, Queue, parameters
from leadline.runtime.rabbitmq.corked_connection import LotConnection
from leadline.runtime.secrets import UrlSource

log = structlog.get_logger()

_NOT_ENCODABLE = (ShortStringTooLong, UnsupportedAMQPFieldException, UnicodeError, struct.error)
#: https://www.rabbitmq.com/amqp-0-9-1-reference#constants
_ACCESS_REFUSED, _NOT_FOUND = 403, 404


class PublisherConnection:
    """Connects as often as it is asked to; declares queues and exchanges that are missing."""

    def __init__(
        self,
        address: UrlSource,
        queues: Iterable[Queue],
        confirms: Confirms,
        *,
        on_ready: Callable[[], None],
        on_confirm: Callable[[Any], None],
    ) -> None:
        self._address = address
        parameters(secrets.resolve(address))  # an invalid address is an error at once
        queues = tuple(queues)
        self._queues = [one for one in queues if not one.is_auxiliary]
        self._auxiliary = [one for one in queues if one.is_auxiliary]
        #: Each of our queues has an exchange of its name; others are reached by the default one.
        self._exchanges = {one.name for one in self._queues}
        self._confirms = confirms
        self._when_ready = on_ready
        self._when_confirmed = on_confirm
        self._must_declare = False
        self._connection: LotConnection | None = None
        self._lost: asyncio.Future[None] | None = None
        self._channel: Any = None
        self._is_ready = False
        self._is_ending = False

    @property
    def exists(self) -> bool:
        """Whether a connection is made, or being made."""
        return self._connection is not None

    @property
    def is_ready(self) -> bool:
        """Whether messages can be published now."""
        return self._is_ready

    async def serve(self) -> None:
        """Connect, and wait until the connection ends."""
        loop = asyncio.get_running_loop()
        self._lost = loop.create_future()
        self._connection = LotConnection(
            parameters(secrets.resolve(self._address)),
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_lost,
            on_close_callback=self._on_lost,
            custom_ioloop=loop,
        )
        try:
            await self._lost
        finally:
            self._is_ready = False
            self._connection = None

    @contextmanager
    def corked(self) -> Iterator[None]:
        """What is published in this block leaves in one piece."""
        if self._connection is None:
            yield
            return
        with self._connection.as_one():
            yield

    def send(self, message: Message) -> bool:
        """Publish; False where the message can't be encoded, and nothing was sent."""
        try:
            # confirm and mandatory: without both an unroutable message vanishes
            self._channel.basic_publish(
                message.queue if message.queue in self._exchanges else "",
                message.queue,
                message.body,
                message.properties(),
                mandatory=True,
            )
        except _NOT_ENCODABLE:
            log.error("message can't be encoded", message_id=message.message_id)  # noqa: TRY400
            return False
        return True

    def renew(self) -> None:
        """Connect again after a refusal.

        RabbitMQ 3.10 asks the leader that a channel first knew of before it takes a message for a
        quorum queue; where that node has died, the channel refuses each message from then on.
        """
        log.warning("message refused by the broker, connecting again")
        self._close()

    def end(self) -> None:
        """Hang up for good, or give up connecting."""
        self._is_ending = True
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
        else:
            self._hang_up()

    def _on_open(self, connection: Any) -> None:
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        connection.channel(on_open_callback=self._on_channel)
        for queue in self._auxiliary if self._must_declare else ():
            connection.channel(on_open_callback=partial(_declare_auxiliary, queue))

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        self._confirms.begin_channel()
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        self._declare()
        # Answers come in the order of the questions: this one when all is there.
        channel.confirm_delivery(self._when_confirmed, callback=self._on_ready)

    def _declare(self) -> None:
        """Our queues and their exchanges where they are missing; else only ask for them.

        A login that may do no more than publish can't declare: it waits for the connector.
        """
        for queue in self._queues:
            if self._must_declare:
                self._channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
                self._channel.exchange_declare(queue.name, "direct", durable=True)
                self._channel.queue_bind(queue.name, queue.name, routing_key=queue.name)
            else:
                self._channel.queue_declare(queue.name, passive=True)
                self._channel.exchange_declare(queue.name, passive=True)

    def _on_ready(self, _frame: object) -> None:
        self._is_ready = True
        self._must_declare = False
        self._when_ready()

    def _on_return(self, _channel: object, method: Any, properties: Any, body: bytes) -> None:
        """The queue is gone: declare it again; the message counts as not published."""
        log.error("message unroutable", queue=method.routing_key, message_id=properties.message_id)
        self._confirms.note_returned(method.routing_key, properties.message_id, body)
        if method.routing_key in self._exchanges:
            self._must_declare = True
            self._declare()

    def _on_blocked(self, _connection: object, _method: object) -> None:
        log.warning("broker blocked", reason="RabbitMQ is short of memory or disk")
        self._is_ready = False

    def _on_unblocked(self, _connection: object, _method: object) -> None:
        log.info("broker unblocked")
        self._on_ready(None)

    def _on_channel_closed(self, _channel: object, reason: Exception) -> None:
        # The next connection declares what is missing; a login that may not goes on asking.
        self._must_declare = not self._is_ready and _code(reason) == _NOT_FOUND
        if self._must_declare:
            log.info("queues are missing", reason=str(reason))
        elif not self._is_ending:
            log.error("channel closed", reason=str(reason))
        self._close()

    def _on_lost(self, _connection: object, reason: Exception) -> None:
        self._is_ready = False
        if not self._is_ending:
            log.warning("no connection to the broker", reason=type(reason).__name__)
        self._hang_up()

    def _close(self) -> None:
        self._is_ready = False
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def _hang_up(self) -> None:
        if self._lost is not None:
            greenlets.resolve(self._lost)


def _declare_auxiliary(queue: Queue, channel: Any) -> None:
    """Declare a queue that nothing here is published to, on a channel that may fail."""
    channel.add_on_close_callback(partial(_on_auxiliary_closed, queue))
    channel.queue_declare(
        queue.name,
        durable=True,
        arguments=queue.arguments,
        callback=lambda _frame: channel.close(),
    )


def _on_auxiliary_closed(queue: Queue, _channel: object, reason: Exception) -> None:
    if _code(reason) not in (None, _ACCESS_REFUSED):
        log.error("queue can't be had, publishing goes on", queue=queue.name, reason=str(reason))


def _code(reason: Exception) -> int | None:
    """Why the broker has closed a channel; None where it was not the broker."""
    return reason.reply_code if isinstance(reason, ChannelClosedByBroker) else None
