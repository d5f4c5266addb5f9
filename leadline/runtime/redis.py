"""Redis: one client per process, with time-outs on everything."""

import contextlib
import os
from collections.abc import Iterator
from functools import cache
from urllib.parse import unquote, urlsplit

import redis
from redis.exceptions import MasterDownError

from leadline.runtime import secrets
from leadline.runtime.errors import BadConfiguration, QueueDown
from leadline.runtime.secrets import Address

CONNECT_TIMEOUT_S = 3
ANSWER_TIMEOUT_S = 5


class _Credentials(redis.CredentialProvider):
    """The user and password that the address has when a connection is made."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        parts = urlsplit(secrets.now(self._address))
        password = unquote(parts.password or "")
        return (unquote(parts.username), password) if parts.username else (password,)


def connect(address: Address) -> redis.Redis:
    """A client that connects at first use and again when a connection was lost.

    `rediss://` is TLS, by redis-py's own query: `ssl_ca_certs` names a file of authorities
    (default: the system's), `ssl_cert_reqs=none` trusts any certificate.

    Raises:
        BadConfiguration: the URL makes no sense; it is not quoted.
    """
    try:
        url = secrets.now(address)
        _, at, host = url.rpartition("@")
        client = redis.Redis.from_url(
            f"{urlsplit(url).scheme}://{host}" if at else url,
            credential_provider=_Credentials(address) if at else None,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            health_check_interval=30,
        )
        # redis-py looks at the rest no sooner than it connects, and would take no TLS for a typo.
        client.connection_pool.make_connection()
    except (ValueError, TypeError, redis.RedisError):
        raise BadConfiguration("REDIS_URL must look like redis://:password@host:6379/0") from None
    roots = client.connection_pool.connection_kwargs.get("ssl_ca_certs")
    if roots is not None and not os.access(roots, os.R_OK):
        raise BadConfiguration("ssl_ca_certs is not a readable file of certificates")
    return client


@cache
def client() -> redis.Redis:
    """This process's client."""
    return connect(secrets.address("redis-url"))


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
    # In a pipeline the text begins with the command.
    text = str(error).rpartition("caused error: ")[2]
    # A script that passes an error on leaves its code in the text.
    return isinstance(error, by_class) or text.startswith(("BUSY", "MISCONF", "OOM", "READONLY"))
