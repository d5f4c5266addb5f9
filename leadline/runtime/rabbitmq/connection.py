"""RabbitMQ: messages, queues and connection parameters."""

import random
import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pika
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from leadline.errors import BadConfiguration
from leadline.runtime import cleartext
from leadline.runtime.hosts import each_host
from leadline.runtime.rabbitmq import tolerant_properties

#: pika ends a connection on which nothing arrives for one to two intervals and 5 s. RabbitMQ
#: recommends 5 to 20 s (https://www.rabbitmq.com/docs/heartbeats).
HEARTBEAT_S = 6
CONNECT_TIMEOUT_S = 3
_TLS = ("cacertfile", "verify")

tolerant_properties.install()


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish: persistent JSON with its CloudEvents attributes as headers."""

    queue: str
    body: bytes
    message_id: str
    correlation_id: str = ""
    headers: dict[str, Any] = field(default_factory=dict)

    def properties(self) -> pika.BasicProperties:
        """Its AMQP properties; `delivery_mode` 2 is persistent."""
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
    #: A delay queue or a queue of dead letters: a publisher of events or replies needs none.
    is_auxiliary: bool = False


def parameters(url: str) -> list[pika.URLParameters]:
    """Connection parameters for each node in this URL, in random order, with our time-outs.

    `amqps://` has RabbitMQ's own query for TLS
    (https://www.rabbitmq.com/docs/uri-query-parameters): `cacertfile` names a file of CA
    certificates (default: the system's), `verify=verify_none` accepts any certificate. A connection
    never falls back to no TLS.

    Raises:
        BadConfiguration: the URL or its TLS options are invalid, or it lacks TLS; the text does not
            quote it.
    """
    cleartext.require_tls("rabbitmq", url)
    nodes = each_host(url)
    return [_node_parameters(node) for node in random.sample(nodes, len(nodes))]


def _node_parameters(url: str) -> pika.URLParameters:
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        tls = {name: query.pop(name) for name in _TLS if name in query}
        params = pika.URLParameters(parts._replace(query=urlencode(query)).geturl())
    except (ValueError, TypeError):
        raise BadConfiguration(
            "AMQP_URL must look like amqp://user:password@host:5672/ (or @one,two,three/)"
        ) from None
    if params.ssl_options:
        params.ssl_options = pika.SSLOptions(_ssl_context(**tls), params.host)
    elif tls:
        raise BadConfiguration("AMQP_URL has TLS options, but is not amqps://")
    params.heartbeat = HEARTBEAT_S
    params.socket_timeout = CONNECT_TIMEOUT_S
    params.stack_timeout = CONNECT_TIMEOUT_S * 2  # for TCP, TLS and AMQP together
    params.blocked_connection_timeout = 60  # while the broker is short of memory or disk
    params.connection_attempts = 1
    return params


def reason_of(error: BaseException) -> str:
    """The broker's reason for closing a channel or connection; else the class of the error."""
    if isinstance(error, ChannelClosedByBroker | ConnectionClosedByBroker):
        return f"{error.reply_code} {error.reply_text}"
    return type(error).__name__


def _ssl_context(cacertfile: str | None = None, verify: str = "verify_peer") -> ssl.SSLContext:
    if verify not in {"verify_peer", "verify_none"}:
        raise BadConfiguration("verify must be verify_peer or verify_none")
    try:
        mtime_ns = Path(cacertfile).stat().st_mtime_ns if cacertfile else 0
        return _cached_context(cacertfile, verify, mtime_ns)
    except OSError:  # ssl.SSLError is one too
        raise BadConfiguration("cacertfile must be a readable file of certificates") from None


@lru_cache(maxsize=4)
def _cached_context(cacertfile: str | None, verify: str, _mtime_ns: int) -> ssl.SSLContext:
    """Cached until the file changes, since creating a context blocks the loop for 30 ms."""
    context = ssl.create_default_context(cafile=cacertfile)
    if verify == "verify_none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
