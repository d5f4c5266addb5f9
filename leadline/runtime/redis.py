"""Redis: one client per process, with time-outs on everything.

In a failover by Sentinel a master becomes a replica without a restart: its connections stay open,
pings succeed, and every write is rejected. Such a connection is closed, so that the next one
resolves the URL again, or asks the Sentinels.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import redis
import structlog
from redis.backoff import ConstantBackoff
from redis.exceptions import MasterDownError
from redis.retry import Retry

from leadline.errors import BadConfiguration, QueueDefect, QueueDown
from leadline.process import per_process_closing
from leadline.runtime import cleartext, secrets, sentinel
from leadline.runtime.hosts import each_host, with_first_host
from leadline.runtime.secrets import UrlSource
from leadline.runtime.sentinel import Sentinels

if TYPE_CHECKING:
    _Base = redis.Connection
else:
    _Base = object

log = structlog.get_logger()

#: Time-outs for connecting and for each response.
CONNECT_TIMEOUT_S = 3
RESPONSE_TIMEOUT_S = 5
#: How long a command that a replica rejects is repeated, until the URL resolves to a master.
FAILOVER_S = 2.0
_FAILOVER_STEP_S = 0.25
#: Codes of the errors of a server that is no longer the master.
_DEMOTED = ("READONLY", "UNBLOCKED", "NOREPLICAS")


class Demoted(redis.ConnectionError):
    """This Redis accepts no writes: it is not the master, or is cut off from its replicas."""


class _FailoverMixin(_Base):
    """Closes a connection, of any class of redis-py, when its server is no longer the master."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        """As redis-py's; raises Demoted if the server is no longer the master."""
        try:
            return super().read_response(*args, **options)
        except redis.ResponseError as error:
            if not _is_demotion(error):
                raise
            self.disconnect()  # type: ignore[no-untyped-call]
            raise Demoted("this Redis accepts no writes") from None


class _SentinelMixin(_FailoverMixin):
    """Connects to the master that the Sentinels name at that time."""

    sentinels: Sentinels

    def connect(self) -> None:
        """As redis-py's, whose pool calls it before it hands out a connection.

        Leaves a former master here, not before each command: a transaction that watches keys must
        not change its connection.
        """
        if self.is_connected and not self.sentinels.watch(self.host, self.port):
            log.warning("the Sentinels name another master, leaving the former one")
            self.disconnect()  # type: ignore[no-untyped-call]
        super().connect()  # type: ignore[no-untyped-call]

    def connect_check_health(self, *args: Any, **options: Any) -> None:
        """As redis-py's, which calls it before each command."""
        if not self.is_connected:
            self.host, self.port = self.sentinels.find_master()
        super().connect_check_health(*args, **options)


def _is_demotion(error: redis.ResponseError) -> bool:
    """Whether the server that sent this error is no longer the master.

    The text of an error begins with a code
    (https://redis.io/docs/latest/develop/reference/protocol-spec/). UNBLOCKED ends a blocking
    command when its server becomes a replica. A script that passes an error on leaves the code in
    the text; before Redis 7, in the middle of it.
    """
    is_by_class = isinstance(error, redis.ReadOnlyError | MasterDownError)
    text = str(error)
    return is_by_class or text.startswith(_DEMOTED) or " -READONLY " in text


class _Credentials(redis.CredentialProvider):
    """The user and password of the URL, which is read again for each connection."""

    def __init__(self, source: UrlSource) -> None:
        self._source = source

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        parts = with_first_host(secrets.resolve(self._source))
        password = unquote(parts.password or "")
        return (unquote(parts.username), password) if parts.username else (password,)


def connect(
    source: UrlSource, *, failover_s: float = FAILOVER_S, timeout_s: float | None = None
) -> redis.Redis:
    """A client that connects at first use, and reconnects when a connection is lost.

    A command that a replica rejected has not run, and is repeated for `failover_s`. `timeout_s`
    replaces the default time-outs for connecting and for each response.

    `rediss://` means TLS, with redis-py's own query: `ssl_ca_certs` names a file of CA certificates
    (default: the system's), `ssl_cert_reqs=none` accepts any certificate. `redis+sentinel://` and
    `rediss+sentinel://` name Sentinels, see `sentinel`.

    Raises:
        BadConfiguration: the URL is invalid or lacks TLS; the text does not quote it.
    """
    try:
        url = secrets.resolve(source)
        by_sentinel = sentinel.is_sentinel(url)
        bare = url if by_sentinel else _without_credentials(url)
        cleartext.require_tls("redis", bare)
        client = redis.Redis.from_url(
            sentinel.redis_url(url) if by_sentinel else bare,
            credential_provider=_Credentials(source) if "@" in url else None,
            socket_connect_timeout=timeout_s or CONNECT_TIMEOUT_S,
            socket_timeout=timeout_s or RESPONSE_TIMEOUT_S,
            health_check_interval=30,
            retry=Retry(
                ConstantBackoff(_FAILOVER_STEP_S),
                int(failover_s / _FAILOVER_STEP_S),
                supported_errors=(Demoted,),
            ),
        )
        kind = client.connection_pool.connection_class
        bases = (_SentinelMixin if by_sentinel else _FailoverMixin, kind)
        client.connection_pool.connection_class = type(
            kind.__name__, bases, {"sentinels": Sentinels(source)}
        )
        # redis-py checks its other options only when it connects, and a typo could disable TLS.
        client.connection_pool.make_connection()
    except (ValueError, TypeError, redis.RedisError):
        raise BadConfiguration(
            "REDIS_URL must look like redis://:password@host:6379/0,"
            " or redis+sentinel://:password@one,two,three/NAME/0"
        ) from None
    ca_file = client.connection_pool.connection_kwargs.get("ssl_ca_certs")
    if ca_file is not None and not os.access(ca_file, os.R_OK):
        raise BadConfiguration("ssl_ca_certs is not a readable file of certificates")
    return client


def _without_credentials(url: str) -> str:
    """The URL without its credentials, which `_Credentials` supplies for each connection.

    Raises:
        ValueError: the URL names several hosts, of which only Sentinels know the master.
    """
    _, separator, host = url.rpartition("@")
    bare = f"{url.partition('://')[0].lower()}://{host}" if separator else url
    if len(each_host(bare)) > 1:
        raise ValueError("several hosts")
    return bare


@per_process_closing(redis.Redis.close)
def client() -> redis.Redis:
    """This process's client."""
    return connect(secrets.url_source("redis-url"))


@contextlib.contextmanager
def reachable() -> Iterator[None]:
    """Translate the errors of Redis, so that callers need not know its client.

    Raises:
        QueueDown: Redis is unreachable, busy or full.
        QueueDefect: any other error: missing rights, a key of the wrong type, a malformed response.
    """
    try:
        yield
    except redis.RedisError as error:
        if _is_transient(error):
            raise QueueDown from None
        raise QueueDefect from error


def _is_transient(error: redis.RedisError) -> bool:
    """Whether Redis can't be reached, is out of memory or busy: it may accept the command later."""
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return True
    # redis-py strips the codes for which it has a class from the text.
    is_full = isinstance(error, redis.OutOfMemoryError)
    # In a pipeline the text begins with the command.
    text = str(error).rpartition("caused error: ")[2]
    # The error of a command within a script keeps its code in the text.
    return is_full or text.startswith(("BUSY", "MISCONF", "OOM"))
