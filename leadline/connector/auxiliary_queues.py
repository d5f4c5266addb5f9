"""Auxiliary queues of a main queue (dead letters and delay queues): declare them, publish to them.

This work has its own thread and connections. So consuming is not blocked by a queue that is
unavailable (its nodes are down, or it exists with other arguments) or confirms nothing: the
connector holds the messages for that queue, which means that it keeps them unacknowledged.
"""

import threading
from contextlib import suppress

import pika
import structlog
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from leadline.connector.queue_depths import open_connection
from leadline.errors import BrokerDown
from leadline.messages import topology
from leadline.runtime import secrets
from leadline.runtime.rabbitmq.confirms import Done
from leadline.runtime.rabbitmq.connection import Message, Queue, reason_of
from leadline.runtime.rabbitmq.publisher import Publisher
from leadline.runtime.secrets import UrlSource

logger = structlog.get_logger()

#: Seconds between declarations: usually, and while a queue is unavailable.
DECLARE_EVERY_S = 60.0
RETRY_EVERY_S = 5.0


class AuxiliaryQueues:
    """The auxiliary queues of one main queue; thread-safe."""

    def __init__(self, source: UrlSource, main_queue: str) -> None:
        self._source = source
        self._publisher = Publisher(source, queues=())  # `maintain` declares them
        self._queues = topology.auxiliary_queues(main_queue)
        #: Queues of earlier versions that are not deleted yet.
        self._retired = set(topology.retired(main_queue))
        #: The last error of each unavailable queue.
        self._errors: dict[str, str] = {}
        self._usable: set[str] = set()
        self._wake = threading.Event()
        self._declared = threading.Event()

    def maintain(self, stop: threading.Event) -> None:
        """Declare the queues, delete retired ones: on request and periodically, until stopped."""
        while not stop.is_set():
            self._wake.clear()
            try:
                for queue in self._queues:
                    if not stop.is_set():
                        self._declare(queue)
                self._remove_retired()
            except Exception:  # edge of the thread: if it died, no queue would be declared
                logger.exception("auxiliary queues failed")
            self._declared.set()
            are_usable = len(self._usable) == len(self._queues)
            self._wake.wait(DECLARE_EVERY_S if are_usable else RETRY_EVERY_S)

    def declare_now(self, timeout_s: float = 0) -> None:
        """Trigger a declaration and wait up to `timeout_s` for it."""
        self._declared.clear()
        self._wake.set()
        self._declared.wait(timeout_s)

    def put(self, message: Message, on_done: Done) -> None:
        """Publish a message to one of the queues, then call `on_done` with True if confirmed."""
        name = message.queue
        if name not in self._usable:
            on_done(False)  # noqa: FBT003
            return

        def on_confirm(is_confirmed: bool) -> None:  # noqa: FBT001
            if not is_confirmed:
                self._usable.discard(name)
                self._wake.set()
            on_done(is_confirmed)

        self._publisher.offer(message, on_confirm)

    def close(self) -> None:
        """Close after outstanding confirms; set the `stop` event of `maintain` first."""
        self._wake.set()
        self._publisher.close()

    def _declare(self, queue: Queue) -> None:
        # One connection for each queue: some errors close it.
        try:
            with open_connection(secrets.resolve(self._source)) as connection:
                reason = _declare_error(connection, queue)
        except BrokerDown as error:
            reason = error.detail
        if reason is None:
            self._usable.add(queue.name)
            if self._errors.pop(queue.name, None):
                logger.info("queue available again", queue=queue.name)
            return
        self._usable.discard(queue.name)
        if self._errors.get(queue.name) != reason:
            logger.warning("queue unavailable, messages are held", queue=queue.name, reason=reason)
        self._errors[queue.name] = reason

    def _remove_retired(self) -> None:
        if not self._retired:
            return
        with suppress(BrokerDown), open_connection(secrets.resolve(self._source)) as connection:
            self._retired = {name for name in self._retired if not _remove(connection, name)}


def _declare_error(connection: pika.BlockingConnection, queue: Queue) -> str | None:
    """Declare a queue; returns the broker's error, None on success."""
    channel = connection.channel()
    try:
        channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
    except (ChannelClosedByBroker, ConnectionClosedByBroker) as error:
        return reason_of(error)
    channel.close()
    return None


def _remove(connection: pika.BlockingConnection, name: str) -> bool:
    """Delete a retired queue unless it holds messages; returns whether it is gone."""
    channel = connection.channel()
    try:
        channel.queue_delete(name, if_unused=True, if_empty=True)
    except ChannelClosedByBroker:
        return False  # not empty yet, or its node is down
    channel.close()
    return True
