"""Publishes results on the topic exchange `leadline.users`, with confirms.

Its routing keys are the kinds of results. Each consumer binds its own queue; without any, the
broker drops all results.
"""

from collections.abc import Sequence

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError

from leadline.results.endpoints import EXCHANGE
from leadline.results.message import Outcome, Result
from leadline.runtime import secrets
from leadline.runtime.rabbitmq.connection import parameters, reason_of
from leadline.settings import settings


class ExchangeSender:
    """Publishes over one connection."""

    def __init__(self) -> None:
        self._connection: pika.BlockingConnection | None = None

    def send(self, results: Sequence[Result]) -> list[Outcome]:
        """Publish these results; returns an outcome for each."""
        published = 0
        try:
            channel = self._channel()
            for result in results:
                channel.basic_publish(EXCHANGE, result.kind, result.body(), _properties(result))
                published += 1
            channel.close()
        except (AMQPError, AMQPConnectorException, OSError) as error:
            lost = Outcome(reason_of(error), is_unreachable=True)
            return [Outcome()] * published + [lost] * (len(results) - published)
        return [Outcome()] * published

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def _channel(self) -> pika.adapters.blocking_connection.BlockingChannel:
        if self._connection is None or not self._connection.is_open:
            self._connection = pika.BlockingConnection(parameters(secrets.require("amqp-url")))
        channel = self._connection.channel()
        channel.confirm_delivery()
        channel.exchange_declare(EXCHANGE, "topic", durable=True)
        return channel


def _properties(result: Result) -> pika.BasicProperties:
    return pika.BasicProperties(
        content_type="application/json",
        delivery_mode=2,  # persistent
        message_id=result.id,
        headers={
            "ce-specversion": "1.0",
            "ce-id": result.id,
            "ce-type": f"leadline.{result.kind}",
            "ce-source": settings().source,
        },
    )
