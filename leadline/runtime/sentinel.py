"""Finds the current master of Redis by Sentinel.

`redis+sentinel://user:password@one,two:26380/NAME/0` names the Sentinels, the master that they
watch, and the database. User and password are those of Redis; `sentinel_username` and
`sentinel_password` in the query are those of the Sentinels. With `rediss+sentinel://` both use TLS.
"""

import threading
import time
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import redis

from leadline.errors import BadConfiguration
from leadline.runtime import cleartext, secrets
from leadline.runtime.hosts import Node, each_host, order_from, silent_node, with_first_host
from leadline.runtime.secrets import UrlSource

#: Sentinel's default port.
PORT = 26379
#: Time-out for connecting to a Sentinel, and for its answer: a dead one must not delay a failover.
TIMEOUT_S = 1.0
#: Interval of queries for the current master, and how long after the last use they go on.
ASK_EVERY_S, IDLE_AFTER_S = 1.0, 10.0
_SUFFIX = "+sentinel"
_USERNAME, _PASSWORD = "sentinel_username", "sentinel_password"


def is_sentinel(url: str) -> bool:
    """Whether the URL names Sentinels rather than a Redis server."""
    return url.partition("://")[0].lower().endswith(_SUFFIX)


def redis_url(url: str) -> str:
    """The Redis URL for a Sentinel URL; its host is a Sentinel's, to be replaced by the master's.

    Raises:
        ValueError: the URL names no master.
    """
    if not _master_name(url):
        raise ValueError("no name of a master")
    parts = with_first_host(url)
    database = parts.path.strip("/").partition("/")[2]
    return _as_redis_url(parts)._replace(path=f"/{database}").geturl()


def server_url(url: str, host: str, port: int) -> str:
    """The Redis URL of one of the servers that the Sentinels watch, with our login.

    Raises:
        ValueError: the URL is invalid.
        BadConfiguration: the server is on another machine, and the URL is without TLS.
    """
    server = urlsplit(redis_url(url))._replace(netloc=f"{_url_host(host)}:{port}")
    cleartext.require_tls("redis", server.geturl())
    credentials, separator, _ = with_first_host(url).netloc.rpartition("@")
    return server._replace(netloc=f"{credentials}{separator}{server.netloc}").geturl()


class Sentinels:
    """The Sentinels of a URL.

    While `watch` is in use, a thread queries them each second: they name a new master some ten
    seconds before they demote the former one, which loses the writes that it accepts until then.
    """

    def __init__(self, source: UrlSource) -> None:
        self._source = source
        #: Index of the Sentinel that answered last; it is asked first.
        self._last = 0
        self._master: tuple[str, int] | None = None
        self._used_at = float("-inf")
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def watch(self, host: str, port: int) -> bool:
        """Keep the thread running that queries the Sentinels, without waiting for an answer.

        Returns whether they have named no other master so far.
        """
        self._used_at = time.monotonic()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._query_while_used, name="sentinels", daemon=True
                )
                with suppress(RuntimeError):  # at the end of the process
                    self._thread.start()
        return self._master in (None, (host, port))

    def _query_while_used(self) -> None:
        while time.monotonic() - self._used_at < IDLE_AFTER_S:
            with suppress(redis.RedisError, BadConfiguration, ValueError):
                self.find_master()
            time.sleep(ASK_EVERY_S)

    def find_master(self) -> tuple[str, int]:
        """Ask the Sentinels for the master; returns its host and port.

        Raises:
            redis.ConnectionError: no Sentinel answers, or none knows the master.
            BadConfiguration: the master is on another machine, and the URL is without TLS.
        """
        url = secrets.resolve(self._source)
        sentinel_urls = each_host(url)
        for index in order_from(self._last, len(sentinel_urls)):
            try:
                master = _ask_for_master(sentinel_urls[index])
            except redis.RedisError:
                continue
            if master is not None:
                self._last = index
                host, port = master
                scheme = _as_redis_url(with_first_host(url)).scheme
                cleartext.require_tls("redis", f"{scheme}://{_url_host(host)}")
                self._master = host, port
                return host, port
        raise redis.ConnectionError("no Sentinel knows the master")


def nodes(url: str) -> list[Node]:
    """Each Sentinel of this URL, with the master that it names as its role."""
    return [_node(sentinel_url) for sentinel_url in each_host(url)]


def server_addresses(url: str) -> list[tuple[str, int]]:
    """Host and port of each master and replica that any of these Sentinels knows."""
    addresses: set[tuple[str, int]] = set()
    for sentinel_url in each_host(url):
        with suppress(redis.RedisError), _client(sentinel_url) as client:
            master: Any = client.sentinel_master(_master_name(url))
            replicas: Any = client.sentinel_slaves(_master_name(url))
            addresses |= {(str(node["ip"]), int(node["port"])) for node in (master, *replicas)}
    return sorted(addresses)


def _node(url: str) -> Node:
    parts = urlsplit(url)
    address = f"{parts.hostname}:{parts.port or PORT}"
    try:
        master = _ask_for_master(url)
    except redis.RedisError as error:
        return silent_node(address, type(error).__name__)
    if master is None:
        return Node(address, "", f"it watches no master {_master_name(url)!r}")
    return Node(address, f"the master is {master[0]}:{master[1]}")


def _ask_for_master(url: str) -> tuple[str, int] | None:
    """Host and port of the master that this Sentinel names; None if it watches no such master."""
    with _client(url) as client:
        master: Any = client.sentinel_get_master_addr_by_name(_master_name(url))
    return master and (str(master[0]), int(master[1]))


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _master_name(url: str) -> str:
    """The name under which the Sentinels watch the master."""
    return with_first_host(url).path.strip("/").partition("/")[0]


def _client(url: str) -> redis.Redis:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    plain = _as_redis_url(parts)._replace(path="")
    if parts.port is None:
        plain = plain._replace(netloc=f"{plain.netloc}:{PORT}")
    return redis.Redis.from_url(
        plain.geturl(),
        username=query.get(_USERNAME),
        password=query.get(_PASSWORD),
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        decode_responses=True,
    )


def _as_redis_url(parts: SplitResult) -> SplitResult:
    """The parts as those of a `redis` or `rediss` URL, without credentials and Sentinel options."""
    query = [pair for pair in parse_qsl(parts.query) if pair[0] not in (_USERNAME, _PASSWORD)]
    host = parts.netloc.rpartition("@")[2]
    scheme = parts.scheme.removesuffix(_SUFFIX)
    return parts._replace(scheme=scheme, netloc=host, query=urlencode(query))
