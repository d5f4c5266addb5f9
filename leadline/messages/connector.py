"""From RabbitMQ to the event functions: `python -m leadline.messages.connector`.

`LEADLINE_ROUTES` maps queues to functions: `{"bitrix_queue": "http://bitrix-handler:8080/"}`.
A message is acknowledged only after its function has answered 2xx. When the function can't serve it
now (429, 5xx, no answer), it waits in a delay queue and comes again, its attempts counted; when it
never will (another 4xx), or after too many attempts, it goes to the dead letters with the reason.
Whatever happens to this process, RabbitMQ still has what was not acknowledged.
"""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pika
import structlog
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError

from leadline.messages import topology
from leadline.messages.courier import Courier, Verdict
from leadline.messages.delivery import ATTEMPT
from leadline.messages.health import serve_health
from leadline.runtime import broker, log, secrets
from leadline.runtime.errors import BadConfiguration

logger = structlog.get_logger()

PREFETCH = 16
MAX_ATTEMPTS = 20
_BACKOFF_S = (0.2, 0.5, 1, 2, 3)
_POLL_S = 0.5

ATTEMPT_HEADER = f"ce-{ATTEMPT}"


class Connector:
    """Consumes every routed queue on one connection, with a few deliveries in flight."""

    def __init__(self, url: str, routes: dict[str, str], prefetch: int = PREFETCH) -> None:
        self._parameters = broker.parameters(url)
        self._routes = routes
        self._prefetch = prefetch
        self._courier = Courier(prefetch * len(routes))
        self._stopping = threading.Event()
        self._in_flight = 0
        self.is_consuming = False

    def stop(self) -> None:
        """Take nothing new, finish what is under way, then return from `run`."""
        self._stopping.set()

    def run(self) -> None:
        """Consume until stopped; a lost connection is made again, for ever."""
        failures = 0
        while not self._stopping.is_set():
            try:
                self._consume()
            except (AMQPError, AMQPConnectorException, OSError) as error:
                failures = 0 if self.is_consuming else failures + 1
                self.is_consuming = False
                wait = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
                logger.warning("no connection to the broker", reason=type(error).__name__)
                self._stopping.wait(wait * random.uniform(0.5, 1))  # noqa: S311 - no secret

    def _consume(self) -> None:
        connection = pika.BlockingConnection(self._parameters)
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_qos(prefetch_count=self._prefetch)
        self._in_flight = 0
        # One pool a connection: a delivery can be settled on the channel it came by only.
        pool = ThreadPoolExecutor(self._prefetch * len(self._routes))
        try:
            for name, url in self._routes.items():
                for queue in topology.queues_of(name):
                    channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
                channel.basic_consume(name, self._on_message(connection, pool, name, url))
            self.is_consuming = True
            logger.info("connector consumes", queues=list(self._routes))
            while not self._stopping.is_set():
                connection.process_data_events(time_limit=_POLL_S)
            self._drain(connection, channel)
            connection.close()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _drain(self, connection: pika.BlockingConnection, channel: BlockingChannel) -> None:
        for tag in list(channel.consumer_tags):
            channel.basic_cancel(tag)
        while self._in_flight:
            connection.process_data_events(time_limit=_POLL_S)

    def _on_message(
        self, connection: pika.BlockingConnection, pool: ThreadPoolExecutor, queue: str, url: str
    ) -> Callable[..., None]:
        def on_message(
            channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes
        ) -> None:
            self._in_flight += 1
            attempt = attempt_of(properties, redelivered=method.redelivered)
            received = Received(channel, method.delivery_tag, queue, properties, body, attempt)

            def deliver() -> None:
                try:
                    verdict = self._courier.deliver(url, body, properties, attempt)
                except Exception as error:  # the edge of the thread: a slot would be lost
                    logger.exception("delivery failed")
                    verdict = Verdict(is_served=False, reason=f"not sent: {type(error).__name__}")

                def settle() -> None:
                    self._in_flight -= 1
                    received.settle(verdict)

                connection.add_callback_threadsafe(settle)

            pool.submit(deliver)

        return on_message


def attempt_of(properties: pika.BasicProperties, *, redelivered: bool) -> int:
    """Which delivery of this message this is: 1 only if nobody can have seen it before."""
    headers = properties.headers or {}
    counted = headers.get(ATTEMPT_HEADER, 1)
    attempt = counted if isinstance(counted, int) and counted > 0 else 1
    return attempt + 1 if redelivered else attempt


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it came, and the one channel where it can be acknowledged."""

    channel: BlockingChannel
    tag: int
    queue: str
    properties: pika.BasicProperties
    body: bytes
    attempt: int

    def settle(self, verdict: Verdict) -> None:
        """Acknowledge; first a copy goes where it can wait or rest, if it was not served."""
        if not verdict.is_served:
            if verdict.is_final or self.attempt >= MAX_ATTEMPTS:
                self._bury(verdict.reason)
            else:
                self._delay(verdict.reason)
        self.channel.basic_ack(self.tag)

    def _bury(self, reason: str) -> None:
        """Into the dead letters, with the reason and the origin."""
        grave = {"x-reason": reason, "x-origin": self.queue, "x-died-at": int(time.time())}
        self._copy_to(topology.dead_letters(self.queue), grave)
        logger.error("message dead", reason=reason, **self._about())

    def _delay(self, reason: str) -> None:
        """Into a delay queue, which gives it back after its time."""
        step_s = topology.RETRY_STEPS_S[min(self.attempt, len(topology.RETRY_STEPS_S)) - 1]
        self._copy_to(topology.delay(self.queue, step_s), {ATTEMPT_HEADER: self.attempt + 1})
        logger.warning("message delayed", reason=reason, retry_in_s=step_s, **self._about())

    def _copy_to(self, queue: str, headers: dict[str, Any]) -> None:
        self.properties.headers = {**(self.properties.headers or {}), **headers}
        self.properties.delivery_mode = 2
        # Returns once the broker has confirmed the copy; raises if it has not.
        self.channel.basic_publish("", queue, self.body, self.properties, mandatory=True)

    def _about(self) -> dict[str, Any]:
        return {
            "queue": self.queue,
            "message_id": self.properties.message_id,
            "correlation_id": self.properties.correlation_id,
            "attempt": self.attempt,
        }


def routes() -> dict[str, str]:
    """Which function serves which queue.

    Raises:
        BadConfiguration: LEADLINE_ROUTES is not a JSON object of queue names and URLs.
    """
    try:
        found = json.loads(os.environ.get("LEADLINE_ROUTES", ""))
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not found:
        raise BadConfiguration('LEADLINE_ROUTES must look like {"bitrix_queue": "http://…/"}')
    return {str(queue): str(url) for queue, url in found.items()}


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    log.configure("connector")
    connector = Connector(secrets.require("amqp-url"), routes())

    def stop(_signal: int, _frame: FrameType | None) -> None:
        connector.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    serve_health(lambda: connector.is_consuming)
    connector.run()
    logger.info("connector stopped")


if __name__ == "__main__":
    main()
