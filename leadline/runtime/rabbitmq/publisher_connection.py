"""The publisher's connection: a channel with confirms, and the queues that it publishes to.

A connection belongs to one event loop; only the properties may be used from other threads.
"""

import asyncio
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pika
import structlog
from pika.exceptions import (
    ChannelClosedByBroker,
    ShortStringTooLong,
    UnsupportedAMQPFieldException,
)

from leadline.runtime import secrets
from leadline.runtime.concurrency import greenlets
from leadline.runtime.rabbitmq.confirms import Confirms
from leadline.runtime.rabbitmq.connection import Message, Queue, parameters, reason_of
from leadline.runtime.rabbitmq.corked_connection import CorkedConnection
from leadline.runtime.secrets import UrlSource

log = structlog.get_logger()

_NOT_ENCODABLE = (ShortStringTooLong, UnsupportedAMQPFieldException, UnicodeError, struct.error)
#: https://www.rabbitmq.com/amqp-0-9-1-reference#constants
_ACCESS_REFUSED, _NOT_FOUND = 403, 404


class PublisherConnection:
    """Connects each time `run_until_lost` is called; declares missing queues and exchanges."""

    def __init__(
        self,
        source: UrlSource,
        queues: Iterable[Queue],
        confirms: Confirms,
        *,
        on_ready: Callable[[], None],
        on_confirm: Callable[[Any], None],
    ) -> None:
        self._source = source
        parameters(secrets.resolve(source))  # fail early on an invalid URL
        queues = tuple(queues)
        self._queues = [queue for queue in queues if not queue.is_auxiliary]
        self._auxiliary = [queue for queue in queues if queue.is_auxiliary]
        #: Each of our queues has an exchange of its name; other queues use the default exchange.
        self._exchanges = {queue.name for queue in self._queues}
        self._confirms = confirms
        self._notify_ready = on_ready
        self._handle_confirm = on_confirm
        self._must_declare = False
        self._connection: CorkedConnection | None = None
        self._lost: asyncio.Future[None] | None = None
        self._channel: Any = None
        self._has_opened = False
        self._last_node: tuple[str, int] | None = None
        self._is_ready = False
        self._is_closing = False

    @property
    def is_started(self) -> bool:
        """Whether there is a connection, open or opening."""
        return self._connection is not None

    @property
    def is_ready(self) -> bool:
        """Whether messages can be published."""
        return self._is_ready

    async def run_until_lost(self) -> None:
        """Connect to the first node that accepts a connection, and wait until it ends.

        The node of the last connection is tried last: it may have failed.
        """
        nodes = parameters(secrets.resolve(self._source))
        for node in sorted(nodes, key=lambda node: (node.host, node.port) == self._last_node):
            self._has_opened = False
            self._last_node = node.host, node.port
            await self._run_on_node(node)
            if self._has_opened or self._is_closing:
                return

    async def _run_on_node(self, node: pika.URLParameters) -> None:
        loop = asyncio.get_running_loop()
        self._lost = loop.create_future()
        self._connection = CorkedConnection(
            node,
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
        """Send the messages published in this block with one system call."""
        if self._connection is None:
            yield
            return
        with self._connection.corked():
            yield

    def send(self, message: Message) -> bool:
        """Publish; False if the message can't be encoded, so nothing was sent."""
        try:
            # confirms and mandatory: without both, an unroutable message is lost silently
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

    def reconnect(self) -> None:
        """Close the connection after a message was nacked, so that a new one replaces it.

        RabbitMQ 3.10 publishes to a quorum queue through the leader at the time the channel opened:
        once that node is down, every message is nacked.
        """
        log.warning("message nacked by the broker, reconnecting")
        self._close()

    def abandon(self) -> None:
        """Drop a connection to a broker that confirms nothing, unless it is blocked."""
        if self._connection is not None and self._is_ready:
            log.warning("no confirms from the broker, reconnecting")
            self._is_ready = False
            self._connection.abort()

    def close(self) -> None:
        """Close the connection, or stop connecting; it is not opened again."""
        self._is_closing = True
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
        else:
            self._resolve_lost()

    def _on_open(self, connection: Any) -> None:
        self._has_opened = True
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
        # Responses arrive in the order of the requests: this one after all declarations.
        channel.confirm_delivery(self._handle_confirm, callback=self._on_ready)

    def _declare(self) -> None:
        """Declare our queues and exchanges, or by default only check that they exist.

        A login without the right to declare waits until the connector has declared them.
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
        self._notify_ready()

    def _on_return(self, _channel: object, method: Any, properties: Any, body: bytes) -> None:
        """Declare the missing queue again; the message counts as not published."""
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
        # The next connection declares what is missing; a login without that right keeps checking.
        self._must_declare = not self._is_ready and _code(reason) == _NOT_FOUND
        if self._must_declare:
            log.info("queues are missing", reason=str(reason))
        elif not self._is_closing:
            log.error("channel closed", reason=reason_of(reason))
        self._close()

    def _on_lost(self, _connection: object, reason: Exception) -> None:
        self._is_ready = False
        if not self._is_closing:
            log.warning("no connection to the broker", reason=reason_of(reason))
        self._resolve_lost()

    def _close(self) -> None:
        self._is_ready = False
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def _resolve_lost(self) -> None:
        if self._lost is not None:
            greenlets.resolve(self._lost)


def _declare_auxiliary(queue: Queue, channel: Any) -> None:
    """Declare a queue that we do not publish to, on its own channel, as it may fail."""
    channel.add_on_close_callback(partial(_on_auxiliary_closed, queue))
    channel.queue_declare(
        queue.name,
        durable=True,
        arguments=queue.arguments,
        callback=lambda _frame: channel.close(),
    )


def _on_auxiliary_closed(queue: Queue, _channel: object, reason: Exception) -> None:
    if _code(reason) not in (None, _ACCESS_REFUSED):
        log.error("queue unavailable, publishing continues", queue=queue.name, reason=str(reason))


def _code(reason: Exception) -> int | None:
    """The code with which the broker closed a channel; None if it was not the broker."""
    return reason.reply_code if isinstance(reason, ChannelClosedByBroker) else None
