"""Parts of the bench: a channel that bypasses its proxies, a shifted clock."""

from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika

from tests.servers import PrivateServer


class Channel(AbstractContextManager[Any]):
    """A RabbitMQ channel; unroutable messages are an error."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))

    def __enter__(self) -> Any:
        channel = self._connection.channel()
        channel.confirm_delivery()
        return channel

    def __exit__(self, *_error: object) -> None:
        with closing(self._connection):
            pass


def clock_ahead(seconds: int) -> dict[str, str]:
    """The environment of a process with a shifted clock; needs Debian's `faketime`."""
    return {
        "LD_PRELOAD": str(next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))),
        "FAKETIME": f"{seconds:+}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def port_of(url: str) -> int:
    """The port in a URL."""
    return urlsplit(url).port or 0


def has_started(server: PrivateServer) -> bool:
    """Start a server; whether it came up."""
    try:
        server.start()
    except AssertionError:
        server.kill()
        return False
    return True
