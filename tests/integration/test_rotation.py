"""A rotated password: the next connection uses the new one, without a restart."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
import redis

from leadline.errors import DatabaseDown
from leadline.messages import topology
from leadline.runtime.postgres.pool import Database, StatementError
from leadline.runtime.rabbitmq.connection import Message
from leadline.runtime.rabbitmq.publisher import Publisher
from leadline.runtime.redis import connect

QUEUE = topology.REQUESTS


class RotatedUrl:
    """A URL whose password is wrong until `is_valid` is set."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self._right = url
        self._wrong = parts._replace(netloc=f"{parts.username or ''}:wrong@{host}").geturl()
        self.is_valid = False

    def __call__(self) -> str:
        return self._right if self.is_valid else self._wrong


def test_a_rotated_password_of_postgres_is_used(database_url: str) -> None:
    url = RotatedUrl(database_url)
    database = Database(url)
    with pytest.raises(StatementError):
        database.run("SELECT 1 AS one")
    url.is_valid = True
    assert database.run("SELECT 1 AS one") == [{"one": 1}]
    database.close()


def test_passwords_are_rotated_with_several_hosts_too(
    database_url: str, amqp_url: str, free_port: Callable[[], int]
) -> None:
    """Hosts that refuse connections precede the one that serves."""
    dead_host = f"127.0.0.1:{free_port()}"
    of_postgres, of_rabbitmq = (
        RotatedUrl(url.replace("@", f"@{dead_host},", 1)) for url in (database_url, amqp_url)
    )
    database = Database(of_postgres)
    publisher = Publisher(of_rabbitmq, topology.queues_of(QUEUE))
    try:
        with pytest.raises((StatementError, DatabaseDown)):
            database.run("SELECT 1 AS one")
        assert publisher.publish([Message(QUEUE, b"{}", message_id="m")], timeout_s=1) == [False]
        of_postgres.is_valid = of_rabbitmq.is_valid = True
        assert database.run("SELECT 1 AS one") == [{"one": 1}]
        assert publisher.publish([Message(QUEUE, b"{}", message_id="m")], timeout_s=30) == [True]
    finally:
        publisher.close()
        database.close()


def test_a_rotated_password_of_redis_is_used(redis_url: str) -> None:
    url = RotatedUrl(redis_url)
    client = connect(url)
    with pytest.raises(redis.AuthenticationError):
        client.ping()
    url.is_valid = True
    assert client.ping()
    client.close()


def test_a_rotated_password_of_rabbitmq_is_used_by_a_publisher(amqp_url: str) -> None:
    url = RotatedUrl(amqp_url)
    publisher = Publisher(url, topology.queues_of(QUEUE))
    try:
        assert publisher.publish([Message(QUEUE, b"{}", message_id="m")], timeout_s=1) == [False]
        url.is_valid = True
        assert publisher.publish([Message(QUEUE, b"{}", message_id="m")], timeout_s=30) == [True]
    finally:
        publisher.close()
