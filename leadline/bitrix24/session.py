"""One kept HTTP connection to a portal, whose every exchange ends in time and in one of two ways.

Either nothing of the request has left, which is proven: the name was not resolved, the connection
refused, the TLS handshake failed. Or its first byte was sent: from then on any error, of whatever
layer, leaves the outcome unknown.

`http.client` reads and writes HTTP; the sockets under it are ours, since a library's time-outs hold
for each piece of an answer and not for the whole.
"""

import contextlib
import http.client
import socket
import ssl
import struct
import threading
import zlib
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import certifi

from leadline.bitrix24.webhook import Webhook
from leadline.runtime import clock
from leadline.runtime.errors import OutcomeUnknown, TooLate, Unavailable

#: How long a request may take to leave, and what left to be acknowledged: what was not received by
#: then is not received later, see `CALL_MARGIN_S`.
SEND_TIMEOUT_S = 3.0
MAX_ANSWER_BYTES = 10 * 1024 * 1024
_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "User-Agent": "leadline",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, read to its end."""

    status: int
    #: Where a redirect points to; "" without one.
    location: str
    body: bytes


class Session:
    """Posts to one portal; not for several threads at once."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook
        self._resolver = _Resolver(webhook.host, webhook.port)
        self._kept: _Http | None = None

    def post(
        self,
        method: str,
        body: bytes,
        *,
        connect_s: float,
        answer_s: float,
        send_until: float | None = None,
    ) -> Reply:
        """Post JSON to a method; connecting and all the rest have so many seconds each.

        Raises:
            Unavailable: nothing was sent.
            TooLate: the same; the clock had passed `send_until` when all was ready.
            OutcomeUnknown: the request, or a part of it, was sent.
        """
        # `from None`: errors of libraries may quote the path, and the path is a credential.
        try:
            connection = self._connected(clock.now_s() + connect_s)
        except OSError as error:  # of DNS, TCP and TLS alike
            raise Unavailable(_text(error)) from None
        if send_until is not None and clock.now_s() > send_until:
            raise TooLate
        is_whole = False
        try:
            reply = connection.exchange(method, body, clock.now_s() + answer_s)
            is_whole = True
        except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
            raise OutcomeUnknown(_text(error), may_still_run=True) from None
        finally:
            if not is_whole:
                connection.abort()
        return reply

    def close(self) -> None:
        """Hang up."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    __del__ = close

    def _connected(self, until: float) -> "_Http":
        if self._kept is None or self._kept.is_stale():
            self.close()
            self._kept = _Http(self._webhook, self._dialled(until))
        return self._kept

    def _dialled(self, until: float) -> "_Socket":
        """A socket to the portal, TLS and all."""
        connection = _dial(self._resolver.addresses(until), until)
        if not self._webhook.is_https:
            return connection
        with contextlib.closing(connection):  # TLS takes its descriptor over
            connection.settimeout(_left_s(until))
            secured: Any = self._tls.wrap_socket(connection, server_hostname=self._webhook.host)
        return secured  # type: ignore[no-any-return]

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Trusts the system's authorities (or SSL_CERT_FILE) and those that Mozilla does."""
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        context.sslsocket_class = _TlsSocket
        return context


class _Socket(socket.socket):
    """Ends at a deadline however small the pieces are, and takes only so many bytes."""

    until = float("inf")
    room = 0

    def recv_into(self, *args: Any) -> int:
        self.settimeout(_left_s(self.until))
        count = super().recv_into(*args)
        self.room -= count
        if self.room < 0:
            raise _TooLong
        return count

    def send(self, *args: Any) -> int:
        self.settimeout(_left_s(self.until))
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        self.settimeout(_left_s(self.until))
        super().sendall(*args)


class _TlsSocket(_Socket, ssl.SSLSocket):
    """The same with TLS."""


class _TooLong(http.client.HTTPException):
    """An answer is longer than any to a batch could be."""


class _Http(http.client.HTTPConnection):
    """HTTP on a socket that is connected already."""

    auto_open = 0
    sock: _Socket | None

    def __init__(self, webhook: Webhook, connection: _Socket) -> None:
        super().__init__(webhook.host, webhook.port)
        self.sock = connection
        self._path = webhook.path
        self._headers = {"Host": webhook.authority, **_HEADERS}

    def is_stale(self) -> bool:
        """Whether the portal hung up, or sent something without a request."""
        if self.sock is None:
            return True
        self.sock.settimeout(0)
        try:
            self.sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        return True

    def exchange(self, method: str, body: bytes, until: float) -> Reply:
        """Send a request and read its answer; raises what its layers do."""
        if self.sock is None:
            raise http.client.NotConnected
        self.sock.until = min(until, clock.now_s() + SEND_TIMEOUT_S)
        self.sock.room = MAX_ANSWER_BYTES
        path = f"{self._path.get_secret_value()}{method}.json"
        self.request("POST", path, body, self._headers)
        self.sock.until = until
        with self.getresponse() as response:
            text = _unzipped(response, _whole(response))
            return Reply(response.status, response.getheader("Location") or "", text)

    def abort(self) -> None:
        """Hang up so that nothing of what was written leaves any more."""
        if self.sock is not None:
            with contextlib.suppress(OSError):
                reset = struct.pack("ii", 1, 0)
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        self.close()


def _whole(response: http.client.HTTPResponse) -> bytes:
    """The body as it was sent."""
    if response.length is None:  # in chunks, or until the portal hangs up
        return response.read(MAX_ANSWER_BYTES)
    if response.length > MAX_ANSWER_BYTES:
        raise _TooLong
    return response.read()


def _unzipped(response: http.client.HTTPResponse, body: bytes) -> bytes:
    if not body or "gzip" not in (response.getheader("Content-Encoding") or "").lower():
        return body
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    text = unzip.decompress(body, MAX_ANSWER_BYTES)
    if not unzip.eof:
        raise _TooLong
    return text


class _Resolver:
    """Asks for a host's addresses; `getaddrinfo` knows no time-out, so a thread waits for it."""

    def __init__(self, host: str, port: int) -> None:
        self._asked = (host, port)
        self._found: Future[list[Any]] | None = None

    def addresses(self, until: float) -> list[Any]:
        """As `getaddrinfo` has them; raises what it does, or TimeoutError."""
        if self._found is None or self._found.done():
            self._found = Future()
            ask = threading.Thread(target=self._ask, args=[self._found], name="dns", daemon=True)
            ask.start()
        return self._found.result(_left_s(until))

    def _ask(self, found: Future[list[Any]]) -> None:
        try:
            found.set_result(socket.getaddrinfo(*self._asked, type=socket.SOCK_STREAM))
        except OSError as error:
            found.set_exception(error)


def _dial(addresses: list[Any], until: float) -> _Socket:
    """Connect to the first address that answers; each gets its share of the time."""
    error = OSError("no address")
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        connection = _Socket(family, kind, protocol)
        try:
            connection.settimeout(_left_s(until) / (len(addresses) - tried))
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


def _left_s(until: float) -> float:
    left = until - clock.now_s()
    if left <= 0:
        raise TimeoutError
    return left


def _text(error: Exception) -> str:
    return f"no answer from Bitrix24: {type(error).__name__}"
