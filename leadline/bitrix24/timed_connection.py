"""Connections for urllib3 that enforce deadlines for a whole exchange, however the peer behaves.

A library's time-outs apply to each read, not to the whole response; these sockets enforce the
deadlines of the exchange that they carry.
"""

import contextlib
import socket
import ssl
import struct
import threading
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import certifi
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from leadline.errors import LeaseTooShort
from leadline.runtime import clock

#: How long sending a request may take, and how long its bytes may stay unacknowledged: bytes that
#: have not arrived by then never arrive (`CALL_MARGIN_S` relies on it).
SEND_TIMEOUT_S = 3.0
MAX_RESPONSE_BYTES = 10 * 1024 * 1024


@dataclass(slots=True)
class Exchange:
    """A request and its response, in progress."""

    #: Limits in seconds: to connect, and for all the rest.
    connect_s: float
    response_s: float
    #: The last moment (`runtime.clock`) for the first byte; None: no limit.
    send_until: float | None
    #: None: without TLS.
    tls: ssl.SSLContext | None
    #: The request or a part of it was sent.
    was_sent: bool = False
    #: The response was read to its end.
    is_complete: bool = False


#: The exchange that this thread's connections carry.
current_exchange: ContextVar[Exchange] = ContextVar("exchange")


class ResponseTooLong(OSError):
    """The response is longer than any response to a batch could be."""


class _Socket(socket.socket):
    """A socket with one deadline for all its reads and writes, and a limit on the bytes to read."""

    deadline_s = float("inf")
    bytes_left = 0

    def recv_into(self, *args: Any) -> int:
        self.settimeout(_remaining_s(self.deadline_s))
        count = super().recv_into(*args)
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise ResponseTooLong
        return count

    def send(self, *args: Any) -> int:
        self.settimeout(_remaining_s(self.deadline_s))
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        self.settimeout(_remaining_s(self.deadline_s))
        super().sendall(*args)


class _TlsSocket(_Socket, ssl.SSLSocket):
    """A `_Socket` with TLS."""


class _TimedMixin:
    """A urllib3 connection that enforces the limits of its exchange."""

    host: str
    port: int
    sock: Any
    _exchange: Exchange | None = None

    def connect(self) -> None:
        """Connect within `connect_s`."""
        exchange = current_exchange.get()
        deadline_s = clock.now_s() + exchange.connect_s
        self.sock = _dial(_resolver.addresses(self.host, self.port, deadline_s), deadline_s)
        if exchange.tls is not None:
            self.sock = _wrap_tls(self.sock, exchange.tls, self.host, deadline_s)

    def request(self, *args: Any, **options: Any) -> None:
        """Send, unless `send_until` has passed."""
        exchange = self._exchange = current_exchange.get()
        if self.sock is None:
            self.connect()
        now_s = clock.now_s()
        if exchange.send_until is not None and now_s > exchange.send_until:
            raise LeaseTooShort
        exchange.was_sent = True
        self.sock.bytes_left = MAX_RESPONSE_BYTES
        self.sock.deadline_s = now_s + min(SEND_TIMEOUT_S, exchange.response_s)
        super().request(*args, **options)  # type: ignore[misc]
        self.sock.deadline_s = now_s + exchange.response_s

    def close(self) -> None:
        """Close, with a TCP reset if the response is incomplete: no buffered byte is sent then."""
        exchange = self._exchange
        if self.sock is not None and exchange and exchange.was_sent and not exchange.is_complete:
            with contextlib.suppress(OSError):
                reset = struct.pack("ii", 1, 0)  # linger on, for 0 s
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        super().close()  # type: ignore[misc]


class _Connection(_TimedMixin, HTTPConnection):
    """A connection without TLS, as to the emulator."""


class _TlsConnection(_TimedMixin, HTTPSConnection):
    """A connection with TLS, whose handshake has verified the certificate."""

    is_verified = True


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Adapter(HTTPAdapter):
    """Makes requests use our connections."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pool manager of requests create our connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


def tls_context() -> ssl.SSLContext:
    """A context that trusts the system's authorities (or SSL_CERT_FILE) and Mozilla's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    context.sslsocket_class = _TlsSocket
    return context


def _wrap_tls(connection: _Socket, tls: ssl.SSLContext, host: str, deadline_s: float) -> _Socket:
    with contextlib.closing(connection):  # the TLS socket owns the descriptor from here on
        connection.settimeout(_remaining_s(deadline_s))
        secured: Any = tls.wrap_socket(connection, server_hostname=host)
    return secured  # type: ignore[no-any-return]


class _Resolver:
    """Resolves host names with a time-out: `getaddrinfo` has none, so a thread waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Lookups in progress, one thread each.
        self._pending: dict[tuple[str, int], Future[list[Any]]] = {}

    def addresses(self, host: str, port: int, deadline_s: float) -> list[Any]:
        """The addresses as `getaddrinfo` returns them; raises its errors, or TimeoutError."""
        with self._lock:
            addresses = self._pending.get((host, port))
            if addresses is None:
                addresses = self._pending[host, port] = Future()
                args = (host, port, addresses)
                threading.Thread(target=self._resolve, args=args, name="dns", daemon=True).start()
        return addresses.result(_remaining_s(deadline_s))

    def _resolve(self, host: str, port: int, addresses: Future[list[Any]]) -> None:
        try:
            addresses.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            addresses.set_exception(error)
        with self._lock:
            del self._pending[host, port]


_resolver = _Resolver()


def _dial(addresses: list[Any], deadline_s: float) -> _Socket:
    """Connect to the first address that answers; each gets an equal share of the time left."""
    error = OSError("no address")
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        connection = _Socket(family, kind, protocol)
        try:
            connection.settimeout(_remaining_s(deadline_s) / (len(addresses) - number))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
                timeout_ms = int(SEND_TIMEOUT_S * 1000)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
        except OSError as failure:
            connection.close()
            error = failure
        else:
            return connection
    raise error


def _remaining_s(deadline_s: float) -> float:
    left = deadline_s - clock.now_s()
    if left <= 0:
        raise TimeoutError
    return left
