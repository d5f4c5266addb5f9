"""A plain AMQP client of a system: publishes messages by hand, and reads those of a queue."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import pika
import psutil
import requests

from tests.servers import eventually
from tests.system import System

REQUESTS = "bitrix_queue"
REPLIES = "bitrix.responses"
DEAD_REQUESTS = "bitrix_queue.dead"
DEAD_REPLIES = "bitrix.responses.dead"


@dataclass(frozen=True)
class ReceivedMessage:
    """A message as the broker delivered it."""

    body: bytes
    properties: pika.BasicProperties

    @property
    def content(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)

    @property
    def headers(self) -> Mapping[str, Any]:
        """Its AMQP headers."""
        return self.properties.headers or {}

    @property
    def reason(self) -> str:
        """Why it is dead-lettered."""
        return str(self.headers.get("x-reason", ""))


@dataclass
class AmqpClient:
    """One connection to the broker."""

    channel: Any
    #: All messages taken off each queue so far; the broker has deleted them.
    taken: dict[str, list[ReceivedMessage]] = field(default_factory=dict)

    def publish(self, message: object, queue: str = REQUESTS, **properties: object) -> None:
        """Publish JSON, or raw bytes; returns once the broker has the message."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        persistent = 2
        properties = {
            "content_type": "application/json",
            "delivery_mode": persistent,
            **properties,
        }
        self.channel.basic_publish(
            "", queue, body, pika.BasicProperties(**properties), mandatory=True
        )

    def send_back(self, message: ReceivedMessage, queue: str) -> None:
        """Publish a message taken off a queue again, unchanged."""
        self.channel.basic_publish("", queue, message.body, message.properties, mandatory=True)

    def take(self, queue: str) -> list[ReceivedMessage]:
        """Take what is in the queue off it; returns all messages taken so far, oldest first."""
        messages = self.taken.setdefault(queue, [])
        while True:
            method, properties, body = self.channel.basic_get(queue, auto_ack=True)
            if method is None:
                return messages
            messages.append(ReceivedMessage(body, properties))

    def await_messages(
        self,
        queue: str,
        matches: Callable[[ReceivedMessage], bool],
        count: int = 1,
        within_s: float = 120,
    ) -> list[ReceivedMessage]:
        """The messages that match, once there are `count` of them."""

        def matching() -> list[ReceivedMessage]:
            return [message for message in self.take(queue) if matches(message)]

        promise = f"{count} messages in {queue}"
        eventually(lambda: len(matching()) >= count, within_s, promise)
        return matching()

    def consumers(self, queue: str) -> int:
        """The number of consumers of a queue."""
        return int(self.channel.queue_declare(queue, passive=True).method.consumer_count)

    def purge(self, queue: str) -> None:
        """Delete all messages of a queue."""
        self.channel.queue_purge(queue)


@contextmanager
def connect(system: System) -> Iterator[AmqpClient]:
    """A client of the system's broker; dead letters of other tests are deleted first."""
    parameters = pika.URLParameters(system.url("amqp"))
    parameters.heartbeat = 0  # a test that waits for something else answers no heartbeat
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    channel.confirm_delivery()
    amqp = AmqpClient(channel)
    try:
        amqp.purge(DEAD_REQUESTS)
        amqp.purge(DEAD_REPLIES)
        yield amqp
    finally:
        if connection.is_open:
            connection.close()


@contextmanager
def held_back(system: System, amqp: AmqpClient) -> Iterator[None]:
    """Freeze the connector and cut its connection: messages stay in their queues."""
    connector = psutil.Process(system.pid("connector"))
    connector.suspend()
    try:
        broker_port = urlsplit(system.url("amqp")).port
        ports = {
            connection.laddr.port
            for connection in connector.net_connections()
            if connection.raddr and connection.raddr.port == broker_port
        }

        def is_cut() -> bool:
            _cut(system, ports)
            return not amqp.consumers(REQUESTS) and not amqp.consumers(REPLIES)

        eventually(is_cut, 120, "no consumer is left")
        yield
    finally:
        connector.resume()


def _cut(system: System, ports: set[int]) -> None:
    """Close the broker's connections from these ports; its list of them lags behind."""
    amqp = urlsplit(system.url("amqp"))
    api = f"{system.url('rabbitmq_management')}/api/connections"
    with requests.Session() as http:
        http.auth = (amqp.username or "", amqp.password or "")
        for connection in http.get(api, timeout=60).json():
            if connection.get("peer_port") in ports:
                http.delete(f"{api}/{quote(connection['name'])}", timeout=60)
