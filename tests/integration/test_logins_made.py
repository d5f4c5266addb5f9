"""The output of `scripts/logins` creates the logins on fresh servers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
import redis
import requests

from local.runner.servers.postgres import binary
from local.runner.servers.rabbitmq import RabbitMQ
from tests.servers import postgres_connection, private

CHECKOUT = Path(__file__).parents[2]
#: The contents of the generated files, by name.
LoginFiles = dict[str, str]


@pytest.fixture(scope="module")
def login_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoginFiles]:
    """The generated files, after an administrator has run their statements twice."""
    with ExitStack() as ends:
        urls = {}
        servers = {}
        for name in ("postgres", "rabbitmq", "redis"):
            servers[name] = private(name, tmp_path_factory.mktemp(name))
            servers[name].start()
            ends.callback(servers[name].stop)
            urls[name] = servers[name].url
        working_folder = tmp_path_factory.mktemp("operator")
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CHECKOUT),
            "DATABASE_URL": urls["postgres"],
            "AMQP_URL": urls["rabbitmq"],
            "REDIS_URL": urls["redis"],
        }
        folder = working_folder / ".local/logins"
        broker = servers["rabbitmq"].server
        assert isinstance(broker, RabbitMQ)
        administrator = urlsplit(urls["rabbitmq"])
        for _ in range(2):
            subprocess.run(
                (sys.executable, "-m", "local.logins"), check=True, cwd=working_folder, env=env
            )
            psql = (binary("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", urls["postgres"])
            subprocess.run((*psql, "-f", str(folder / "postgres.sql")), check=True)
            requests.post(
                f"{broker.management_url}/api/definitions",
                data=(folder / "rabbitmq.json").read_bytes(),
                auth=(administrator.username or "", administrator.password or ""),
                headers={"Content-Type": "application/json"},
                timeout=60,
            ).raise_for_status()
            with redis.Redis.from_url(urls["redis"]) as client:
                for line in (folder / "redis.commands").read_text().splitlines():
                    assert client.execute_command(*line.split()) == b"OK"
        yield {path.name: path.read_text() for path in folder.iterdir()}


def test_each_login_connects_with_its_generated_url(login_files: LoginFiles) -> None:
    for name, text in login_files.items():
        if name.startswith("database-url-"):
            with postgres_connection(text) as connection:
                assert connection.run("SELECT current_user") == [[urlsplit(text).username]]
        elif name.startswith("amqp-url-"):
            pika.BlockingConnection(pika.URLParameters(text)).close()
        elif name.startswith("redis-url-"):
            with redis.Redis.from_url(text) as client:
                assert client.ping()


def test_generated_logins_have_only_the_rights_of_a_local_run(login_files: LoginFiles) -> None:
    with redis.Redis.from_url(login_files["redis-url-worker"]) as client:
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.flushall()
        client.set("{leadline:main}:none", 1)  # a key of the work queue is allowed
    connection = pika.BlockingConnection(pika.URLParameters(login_files["amqp-url-writer"]))
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
        connection.channel().queue_declare("bitrix_queue", durable=True)
    connection.close()
