"""RabbitMQ and Redis for many test runs: each run finds them empty."""

import queue
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pika
import redis

from leadline.messages import topology
from tests.servers import PrivateServer, private


class Servers:
    """Pairs of a RabbitMQ and a Redis server; each pair is used by one run at a time."""

    def __init__(self, folder: Path, pairs: int) -> None:
        self._free: queue.SimpleQueue[list[PrivateServer]] = queue.SimpleQueue()
        self._all = [
            [private(name, folder / f"{name}{number}") for name in ("rabbitmq", "redis")]
            for number in range(pairs)
        ]

    def __enter__(self) -> Self:
        for pair in self._all:
            for server in pair:  # in this thread: a server ends with the thread that started it
                server.start()
            self._free.put(pair)
        return self

    def __exit__(self, *_: object) -> None:
        for pair in self._all:
            for server in pair:
                server.stop()

    @contextmanager
    def lend(self) -> Iterator[Mapping[str, str]]:
        """An empty pair, as variables for a run's environment."""
        pair = self._free.get()
        amqp_url, redis_url = (server.url for server in pair)
        try:
            _delete_everything(amqp_url, redis_url)
            yield {"AMQP_URL": amqp_url, "REDIS_URL": redis_url}
        finally:
            self._free.put(pair)


def _delete_everything(amqp_url: str, redis_url: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    for declared in topology.all_queues():
        channel.queue_delete(declared.name)
    connection.close()
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
