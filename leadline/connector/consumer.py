"""Consume RabbitMQ's queues for the event functions: `python -m leadline.connector.consumer`.

`LEADLINE_ROUTES` maps queues to functions: `{"bitrix_queue": "http://bitrix-handler:8080/"}`.
A message is acknowledged only after its function has answered 2xx. After a transient failure (429,
5xx, no answer) it goes to a delay queue and is delivered again, with its delivery attempts counted.
After a permanent failure (another 4xx) or too many delivery attempts it goes to the dead letters
with the reason. While the queue that it should go to is unavailable, the connector keeps the
message without acknowledging it. If this process dies, RabbitMQ redelivers what was not
acknowledged.
"""

import json
import os
import random
import signal
import threading
from functools import partial
from types import FrameType
from typing import Any

if __name__ == "__main__":  # before the imports that it speeds up
    from leadline.runtime.serving import cold_start

    cold_start.prepare()

import pika
import structlog
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError, ChannelClosedByBroker

from leadline.connector.auxiliary_queues import AuxiliaryQueues
from leadline.connector.deliveries import MAX_THREADS, Deliveries
from leadline.connector.function_client import FunctionClient
from leadline.connector.message import ReceivedMessage, attempt_of
from leadline.errors import BadConfiguration
from leadline.messages import topology
from leadline.runtime import cleartext, secrets
from leadline.runtime.rabbitmq.connection import parameters, reason_of
from leadline.runtime.secrets import UrlSource
from leadline.runtime.serving import cold_start
from leadline.runtime.serving.health import serve_probes
from leadline.runtime.telemetry import log, metrics, tracing
from leadline.settings import settings

logger = structlog.get_logger()

CONSUMING = metrics.Gauge(
    "leadline_connector_consuming", "1 while this connector consumes the queue", "queue"
)

#: Waits before reconnecting, the last one repeats; shorter by a random part of up to a half.
_BACKOFF_S = (0.2, 0.5, 1)
#: How often a waiting thread looks whether it must stop, or a batch can be posted.
_POLL_S = 0.5
#: How long to wait for the auxiliary queues: at the start, before consuming without them; at the
#: end, for a declaration that is under way.
_AUXILIARY_WAIT_S = 5.0


class Connector:
    """Consumes one queue on its own connection, for one function."""

    def __init__(self, source: UrlSource, queue: str, function_url: str) -> None:
        self._source = source
        parameters(secrets.resolve(source))  # fail early on an invalid URL
        cleartext.require_tls("functions", function_url)
        self.queue = queue
        self._prefetch = settings().prefetch
        self._client = FunctionClient(queue, function_url, connections=MAX_THREADS)
        self._auxiliary = AuxiliaryQueues(source, queue)
        self._stopping = threading.Event()
        self.is_consuming = False

    def stop(self) -> None:
        """Stop consuming, finish what is in flight, then return from `run`."""
        self._stopping.set()

    def run(self) -> None:
        """Consume until stopped; reconnects indefinitely."""
        failures = 0
        maintenance = threading.Thread(
            target=self._auxiliary.maintain, args=[self._stopping], daemon=True
        )
        maintenance.start()
        while not self._stopping.is_set():
            try:
                self._consume()
            except ChannelClosedByBroker as error:
                logger.error("channel closed", queue=self.queue, reason=reason_of(error))  # noqa: TRY400 - the broker's text is enough
            except (AMQPError, AMQPConnectorException, OSError) as error:
                logger.warning("no connection to the broker", reason=reason_of(error))
            except Exception:  # edge of the thread: if it died, its queue would not be consumed
                # Such as the ValueError that pika raises if a new connection is reset.
                logger.exception("connector failed")
            failures = 0 if self.is_consuming else failures + 1
            self.is_consuming = False
            wait_s = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
            self._stopping.wait(wait_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
        self._auxiliary.close()
        # A declaration that outlives this connector may coincide with a deletion of its queue; then
        # RabbitMQ 3.10 answers each later declaration of that queue with 541, until it restarts.
        maintenance.join(_AUXILIARY_WAIT_S)

    def _consume(self) -> None:
        connection = pika.BlockingConnection(parameters(secrets.resolve(self._source)))
        channel = connection.channel()
        channel.basic_qos(prefetch_count=self._prefetch)
        queue = topology.main_queue(self.queue)
        topology.declare(channel, queue)
        self._auxiliary.declare_now(timeout_s=_AUXILIARY_WAIT_S)
        deliveries = Deliveries(
            connection, channel, self._client, self._auxiliary, prefetch=self._prefetch
        )
        try:
            channel.basic_consume(self.queue, partial(self._on_message, deliveries))
            self.is_consuming = True
            logger.info("connector consuming", queue=self.queue)
            # If the queue is deleted, RabbitMQ cancels the consumer and nothing raises.
            while channel.consumer_tags and not self._stopping.is_set():
                connection.process_data_events(time_limit=_POLL_S)
                deliveries.post()
            self.is_consuming = bool(channel.consumer_tags)
            if not self.is_consuming:
                logger.warning("queue deleted, declaring it again", queue=self.queue)
            for tag in list(channel.consumer_tags):
                channel.basic_cancel(tag)
            while not deliveries.is_done:
                deliveries.post()
                connection.process_data_events(time_limit=_POLL_S)
        finally:
            deliveries.close()
            # Also after an error: otherwise RabbitMQ redelivers only after missed heartbeats.
            if connection.is_open:
                connection.close()

    def _on_message(
        self,
        deliveries: Deliveries,
        channel: BlockingChannel,
        method: Any,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        attempt = attempt_of(properties, is_redelivered=method.redelivered)
        tag = method.delivery_tag
        deliveries.add(ReceivedMessage(channel, tag, self.queue, properties, body, attempt))


def routes() -> dict[str, str]:
    """The URL of the function for each queue.

    Raises:
        BadConfiguration: LEADLINE_ROUTES is not a JSON object of queue names and URLs.
    """
    try:
        parsed = json.loads(os.environ.get("LEADLINE_ROUTES", ""))
    except json.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict) or not parsed:
        raise BadConfiguration('LEADLINE_ROUTES must look like {"bitrix_queue": "http://…/"}')
    return {str(queue): str(url) for queue, url in parsed.items()}


def main() -> None:
    """Run until SIGTERM or SIGINT, with one thread for each queue."""
    cold_start.freeze()
    log.configure("connector")
    tracing.is_enabled()  # fail early on an invalid setting
    source = secrets.url_source("amqp-url")
    connectors = [Connector(source, queue, url) for queue, url in routes().items()]

    def stop(_signal: int, _frame: FrameType | None) -> None:
        for connector in connectors:
            connector.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threads = [threading.Thread(target=connector.run) for connector in connectors]
    for thread in threads:
        thread.start()
    metrics.on_scrape(
        lambda: CONSUMING.replace(
            {(connector.queue,): connector.is_consuming for connector in connectors}
        )
    )
    serve_probes(
        is_alive=lambda: all(thread.is_alive() for thread in threads),
        is_ready=lambda: all(connector.is_consuming for connector in connectors),
    )
    for thread in threads:
        # With a time-out: a signal that arrives just before the wait does not interrupt it, and its
        # handler runs only after the wait.
        while thread.is_alive():
            thread.join(_POLL_S)
    logger.info("connector stopped")


if __name__ == "__main__":
    main()
