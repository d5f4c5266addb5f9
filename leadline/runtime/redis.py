"""Redis: one client per process, with time-outs on everything."""

from functools import cache

import redis

from leadline.runtime import secrets

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
