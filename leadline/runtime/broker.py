"""RabbitMQ: what goes out, what it goes into, and how to connect."""

from dataclasses import dataclass, field
from typing import Any

import pika

from leadline.runtime.errors import BadConfiguration

HEARTBEAT_S = 20
CONNECT_TIMEOUT_S = 3


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out: persistent JSON with its CloudEvents attributes as headers."""

    queue: str
    body: bytes
    message_id: str
    correlation_id: str = ""
    headers: dict[str, Any] = field(default_factory=dict)

    def properties(self) -> pika.BasicProperties:
        """AMQP properties, `delivery_mode` 2: it survives a restart of the broker."""
        return pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,
            message_id=self.message_id,
            correlation_id=self.correlation_id or None,
            headers=self.headers,
        )


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue and its arguments."""

    name: str
    arguments: dict[str, Any]


def parameters(url: str) -> pika.URLParameters:
    """Connection parameters with our time-outs.

    Raises:
        BadConfiguration: the URL is not an AMQP one; the URL itself is not quoted.
    """
    try:
        params = pika.URLParameters(url)
    except (ValueError, TypeError):
        raise BadConfiguration("AMQP_URL must look like amqp://user:password@host:5672/") from None
    params.heartbeat = HEARTBEAT_S
    params.socket_timeout = CONNECT_TIMEOUT_S
    params.stack_timeout = CONNECT_TIMEOUT_S * 2
    params.blocked_connection_timeout = 60
    params.connection_attempts = 1
    return params
