"""The queues beside a work queue, its dead letters and delay queues, and what is put into them.

All of it has threads and connections of its own. So one that can't be had, because its nodes are
down or somebody has declared it otherwise, or one that confirms nothing, keeps nobody from
consuming: what would go there is held by the connector meanwhile.
"""

import threading
from contextlib import suppress

import pika
import structlog
from pika.exceptions import ChannelClosedByBroker

from leadline.connector.queue_depths import connected
from leadline.errors import BrokerDown
from leadline.messages import topology
from leadline.runtime import secrets
from leadline.runtime.rabbitmq.confirms import Done
from leadline.runtime.rabbitmq.connection import Message, Queue
from leadline.runtime.rabbitmq.publisher import Publisher
from leadline.runtime.secrets import UrlSource

logger = structlog.get_logger()

#: How often all are declared; one that is missing sooner.
LOOK_EVERY_S = 60.0
LOOK_AGAIN_S = 5.0


class AuxiliaryQueues:
    """Those of one work queue; for any thread."""

    def __init__(self, address: UrlSource, name: str) -> None:
        self._address = address
        self._publisher = Publisher(address, ())
        self._queues = topology.auxiliary_queues(name)
        self._retired = set(topology.retired(name))
        #: What the broker last said of those that can't be had.
        self._refusals: dict[str, str] = {}
        self._usable: set[str] = set()
        self._is_wanted = threading.Event()
        self._was_looked = threading.Event()

    def keep(self, stop: threading.Event) -> None:
        """Declare them until stopped, each time that somebody wants it and now and then."""
        while not stop.is_set():
            self._is_wanted.clear()
            try:
                for queue in self._queues:
                    self._declare(queue)
                self._remove_retired()
            except Exception:  # the edge of the thread: no queue would be declared any more
                logger.exception("auxiliary queues failed")
            self._was_looked.set()
            is_complete = len(self._usable) == len(self._queues)
            self._is_wanted.wait(LOOK_EVERY_S if is_complete else LOOK_AGAIN_S)

    def look(self, timeout_s: float = 0) -> None:
        """Have them declared now, and wait for that as long as `timeout_s`."""
        self._was_looked.clear()
        self._is_wanted.set()
        self._was_looked.wait(timeout_s)

    def put(self, message: Message, done: Done) -> None:
        """Publish a message to one of them; `done(True)` once it is there, else `done(False)`."""
        name = message.queue
        if name not in self._usable:
            done(False)  # noqa: FBT003
            return

        def told(is_confirmed: bool) -> None:  # noqa: FBT001
            if not is_confirmed:
                self._usable.discard(name)
                self._is_wanted.set()
            done(is_confirmed)

        self._publisher.offer(message, told)

    def close(self) -> None:
        """End once what is under way is confirmed; `keep` has been told to stop."""
        self._is_wanted.set()
        self._publisher.close()

    def _declare(self, queue: Queue) -> None:
        # A connection for each: some refusals end it.
        try:
            with connected(secrets.resolve(self._address)) as connection:
                refusal = _refusal(connection, queue)
        except BrokerDown as error:
            refusal = error.detail
        if refusal is None:
            self._usable.add(queue.name)
            if self._refusals.pop(queue.name, None):
                logger.info("queue can be had again", queue=queue.name)
            return
        self._usable.discard(queue.name)
        if self._refusals.get(queue.name) != refusal:
            logger.warning(
                "queue can't be had, messages are held", queue=queue.name, reason=refusal
            )
        self._refusals[queue.name] = refusal

    def _remove_retired(self) -> None:
        if not self._retired:
            return
        with suppress(BrokerDown), connected(secrets.resolve(self._address)) as connection:
            self._retired = {one for one in self._retired if not _is_removed(connection, one)}


def _refusal(connection: pika.BlockingConnection, queue: Queue) -> str | None:
    """What the broker says against this queue; None where it is there as it should be."""
    channel = connection.channel()
    try:
        channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
    except ChannelClosedByBroker as error:
        return str(error)
    channel.close()
    return None


def _is_removed(connection: pika.BlockingConnection, name: str) -> bool:
    """Whether a queue that nobody needs any more is gone; one that holds messages stays."""
    channel = connection.channel()
    try:
        channel.queue_delete(name, if_unused=True, if_empty=True)
    except ChannelClosedByBroker:
        return False  # it is not empty yet, or its node is down
    channel.close()
    return True
