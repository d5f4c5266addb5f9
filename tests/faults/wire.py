"""A plain AMQP client beside the system: publishes by hand, reads what lies in a queue."""

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
class Letter:
    """A message as the broker handed it out."""

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
        """Why it is dead."""
        return str(self.headers.get("x-reason", ""))


@dataclass
class Wire:
    """One connection; what is taken from a queue is taken for good."""

    channel: Any
    taken: dict[str, list[Letter]] = field(default_factory=dict)

    def publish(self, message: object, queue: str = REQUESTS, **properties: object) -> None:
        """Publish JSON, or bytes as they are; returns once the broker has it."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        properties = {"content_type": "application/json", "delivery_mode": 2, **properties}
        self.channel.basic_publish(
            "", queue, body, pika.BasicProperties(**properties), mandatory=True
        )

    def send_back(self, letter: Letter, queue: str) -> None:
        """Publish a message that was taken, as it was."""
        self.channel.basic_publish("", queue, letter.body, letter.properties, mandatory=True)

    def take(self, queue: str) -> list[Letter]:
        """Everything that lay in the queue since the test began."""
        letters = self.taken.setdefault(queue, [])
        while True:
            method, properties, body = self.channel.basic_get(queue, auto_ack=True)
            if method is None:
                return letters
            letters.append(Letter(body, properties))

    def await_letters(
        self, queue: str, wanted: Callable[[Letter], bool], count: int = 1, within_s: float = 20
    ) -> list[Letter]:
        """The letters that are wanted, once there are so many of them."""

        def found() -> list[Letter]:
            return [letter for letter in self.take(queue) if wanted(letter)]

        promise = f"{count} letters in {queue}"
        eventually(lambda: len(found()) >= count, within_s, promise)
        return found()

    def consumers(self, queue: str) -> int:
        """How many consume from this queue."""
        return int(self.channel.queue_declare(queue, passive=True).method.consumer_count)

    def forget(self, queue: str) -> None:
        """Empty a queue."""
        self.channel.queue_purge(queue)


@contextmanager
def plugged_in(system: System) -> Iterator[Wire]:
    """A client of the system's broker; the dead letters of others are swept away first."""
    connection = pika.BlockingConnection(pika.URLParameters(system.url("amqp")))
    channel = connection.channel()
    channel.confirm_delivery()
    wire = Wire(channel)
    try:
        wire.forget(DEAD_REQUESTS)
        wire.forget(DEAD_REPLIES)
        yield wire
    finally:
        if connection.is_open:
            connection.close()


@contextmanager
def held_back(system: System, wire: Wire) -> Iterator[None]:
    """Freeze the connector and cut its connection: messages stay in their queues."""
    connector = psutil.Process(system.pid("connector"))
    connector.suspend()
    try:
        broker_port = urlsplit(system.url("amqp")).port
        ours = {
            each.laddr.port
            for each in connector.net_connections()
            if each.raddr and each.raddr.port == broker_port
        }

        def is_cut() -> bool:
            _cut(system, ours)
            return not wire.consumers(REQUESTS) and not wire.consumers(REPLIES)

        eventually(is_cut, 20, "nobody consumes")
        yield
    finally:
        connector.resume()


def _cut(system: System, ports: set[int]) -> None:
    """Close the broker's connections from these ports; its list of them lags behind."""
    amqp = urlsplit(system.url("amqp"))
    api = f"{system.url('rabbitmq_management')}/api/connections"
    with requests.Session() as http:
        http.auth = (amqp.username or "", amqp.password or "")
        for each in http.get(api, timeout=10).json():
            if each.get("peer_port") in ports:
                http.delete(f"{api}/{quote(each['name'])}", timeout=10)
