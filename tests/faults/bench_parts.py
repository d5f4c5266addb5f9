"""Parts of the bench: clients of the broker that bypass the proxies, and a shifted clock."""

import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika

from tests.servers import PrivateServer

#: Debian's wrapper on the PATH refuses every user but root and rabbitmq, and drops the environment.
_RABBITMQCTL = max(
    Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmqctl"), default="rabbitmqctl"
)


class Channel(AbstractContextManager[Any]):
    """A RabbitMQ channel; unroutable messages are an error."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))

    def __enter__(self) -> Any:
        channel = self._connection.channel()
        channel.confirm_delivery()
        return channel

    def __exit__(self, *_error: object) -> None:
        self._connection.close()


def clock_ahead(seconds: int) -> dict[str, str]:
    """The environment of a process with a shifted clock; needs Debian's `faketime`."""
    return {
        "LD_PRELOAD": str(next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))),
        "FAKETIME": f"{seconds:+}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def rabbitmqctl(env: Mapping[str, str], *words: str) -> None:
    """An operator's command to the broker with this environment."""
    subprocess.run(
        (str(_RABBITMQCTL), *words),
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **env},
        check=True,
        capture_output=True,
        timeout=60,
    )


def port_of(url: str) -> int:
    """The port in a URL."""
    return urlsplit(url).port or 0


def try_to_start(server: PrivateServer) -> bool:
    """Start a server; returns whether it came up, and kills it if not."""
    try:
        server.start()
    except AssertionError:
        server.kill()
        return False
    return True
