"""Redis: one client per process, with time-outs on everything.

A master can become a replica without a restart, as in a failover by Sentinel: its connections stay
open, pings succeed, and every write is refused. Such a connection is dropped, so that the next one
goes where the address leads by now.
"""

import contextlib
import os
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import ConstantBackoff
from redis.exceptions import MasterDownError
from redis.retry import Retry

from leadline.errors import BadConfiguration, QueueDown
from leadline.runtime import cleartext, secrets
from leadline.runtime.secrets import Address

if TYPE_CHECKING:
    _Base = redis.Connection
else:
    _Base = object

CONNECT_TIMEOUT_S = 3
ANSWER_TIMEOUT_S = 5
#: How long a command that a replica refuses is repeated, until the address leads to a master.
FAILOVER_S = 2.0
_FAILOVER_STEP_S = 0.25
_DEMOTED = ("READONLY", "UNBLOCKED", "NOREPLICAS")


class Demoted(redis.ConnectionError):
    """This Redis takes no writes: it is not the master, or cut off from its replicas."""


class _Following(_Base):
    """A connection that ends when its server is no master any more; for any kind of connection."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        """As redis-py's; raises Demoted where the command was refused for that."""
        try:
            return super().read_response(*args, **options)
        except redis.ResponseError as error:
            if not _is_demotion(error):
                raise
            self.disconnect()  # type: ignore[no-untyped-call]
            raise Demoted("this Redis takes no writes") from None


def _is_demotion(error: redis.ResponseError) -> bool:
    """https://redis.io/docs/latest/develop/reference/protocol-spec/: the text begins with a code.

    UNBLOCKED is how a blocking command ends when its server becomes a replica; a script that passes
    the error of its command on leaves the code in the text, before Redis 7 amid it.
    """
    is_by_class = isinstance(error, redis.ReadOnlyError | MasterDownError)
    text = str(error)
    return is_by_class or text.startswith(_DEMOTED) or " -READONLY " in text


class _Credentials(redis.CredentialProvider):
    """The user and password that the address has when a connection is made."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        parts = urlsplit(secrets.now(self._address))
        password = unquote(parts.password or "")
        return (unquote(parts.username), password) if parts.username else (password,)


def connect(
    address: Address, *, failover_s: float = FAILOVER_S, timeout_s: float | None = None
) -> redis.Redis:
    """A client that connects at first use and again when a connection was lost.

    A command that was refused by a replica has not run, and is repeated for `failover_s`.
    `timeout_s` is for connecting and for each answer, in place of ours.

    `rediss://` is TLS, by redis-py's own query: `ssl_ca_certs` names a file of authorities
    (default: the system's), `ssl_cert_reqs=none` trusts any certificate.

    Raises:
        BadConfiguration: the URL makes no sense, or would go in clear; it is not quoted.
    """
    try:
        url = secrets.now(address)
        _, at, host = url.rpartition("@")
        # Without the credentials, which are read for each connection.
        bare = f"{urlsplit(url).scheme}://{host}" if at else url
        cleartext.refuse("redis", bare)
        client = redis.Redis.from_url(
            bare,
            credential_provider=_Credentials(address) if at else None,
            socket_connect_timeout=timeout_s or CONNECT_TIMEOUT_S,
            socket_timeout=timeout_s or ANSWER_TIMEOUT_S,
            health_check_interval=30,
            retry=Retry(
                ConstantBackoff(_FAILOVER_STEP_S),
                int(failover_s / _FAILOVER_STEP_S),
                supported_errors=(Demoted,),
            ),
        )
        kind = client.connection_pool.connection_class
        client.connection_pool.connection_class = type(kind.__name__, (_Following, kind), {})
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
    """Redis is out of memory or busy: later it serves."""
    # redis-py takes the codes that it has a class for off the text.
    is_full = isinstance(error, redis.OutOfMemoryError)
    # In a pipeline the text begins with the command.
    text = str(error).rpartition("caused error: ")[2]
    # A script that passes an error on leaves its code in the text.
    return is_full or text.startswith(("BUSY", "MISCONF", "OOM"))
