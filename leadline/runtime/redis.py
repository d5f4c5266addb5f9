"""Redis: one client per process, with time-outs on everything."""

import contextlib
from collections.abc import Iterator
from functools import cache

import redis
from redis.exceptions import MasterDownError

from leadline.runtime import secrets
from leadline.runtime.errors import QueueDown

CONNECT_TIMEOUT_S = 3
ANSWER_TIMEOUT_S = 5


def connect(url: str) -> redis.Redis:
    """A client that connects at first use and again when a connection was lost."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=ANSWER_TIMEOUT_S,
        health_check_interval=30,
    )


@cache
def client() -> redis.Redis:
    """This process's client."""
    return connect(secrets.require("redis-url"))


@contextlib.contextmanager
def reachable() -> Iterator[None]:
    """Turn Redis being away, busy or full into QueueDown; its other errors are our mistakes."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError) as error:
        if isinstance(error, redis.ResponseError) and not _is_passing(error):
            raise
        raise QueueDown from None


def _is_passing(error: redis.ResponseError) -> bool:
    """Redis is out of memory, read-only or busy: later it serves."""
    # redis-py takes the codes that it has a class for off the text.
    by_class = redis.OutOfMemoryError | redis.ReadOnlyError | MasterDownError
    return isinstance(error, by_class) or str(error).startswith(("BUSY", "MISCONF"))
