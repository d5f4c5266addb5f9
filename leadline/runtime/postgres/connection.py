"""A connection to Postgres: TLS, time-outs, prepared statements."""

import os
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

import structlog
from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection, PreparedStatement

from leadline.runtime.concurrency import greenlets

log = structlog.get_logger()

#: Time-outs for connecting, for a statement, and for a lock that it waits for.
CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 3
#: A server of a cluster that is silent for longer than this may have been replaced.
ANSWER_CHECK_S = 1.0
#: A connection used within this time is not checked: the fastest restart takes longer (0.14 s).
CHECK_AFTER_S = 0.05

#: https://www.postgresql.org/docs/current/catalog-pg-type.html
_TIMESTAMPTZ_OID = 1184
#: https://www.postgresql.org/docs/current/protocol-message-formats.html, SSLRequest
_SSL_REQUEST_LENGTH, _SSL_REQUEST_CODE = 8, 80877103


class _Socket(socket.socket):
    """A socket that, if it is non-blocking, waits in a greenlet and yields to other requests."""

    #: Called after each `ANSWER_CHECK_S` without an answer; true ends the wait.
    is_superseded: Callable[[], bool] | None = None

    def recv_into(self, *args: Any) -> int:
        steps = int(_io_timeout_s() / ANSWER_CHECK_S)
        while True:
            try:
                return _retry_io(greenlets.wait_readable, self, super().recv_into, *args)
            except TimeoutError:
                steps -= 1
                if self.is_superseded is None or steps <= 0 or self.is_superseded():
                    raise

    def io_timeout_s(self) -> float:
        """How long one wait lasts."""
        return ANSWER_CHECK_S if self.is_superseded else _io_timeout_s()

    def send(self, *args: Any) -> int:
        return _retry_io(greenlets.wait_writable, self, super().send, *args)


class TlsSocket(_Socket, ssl.SSLSocket):
    """The same as `_Socket`, with TLS."""


def _retry_io(
    wait: Callable[[socket.socket, float], None],
    connection: _Socket,
    operation: Callable[..., int],
    *args: Any,
) -> int:
    while True:
        try:
            return operation(*args)
        except BlockingIOError:
            wait(connection, connection.io_timeout_s())
        except ssl.SSLWantReadError:
            greenlets.wait_readable(connection, connection.io_timeout_s())
        except ssl.SSLWantWriteError:
            greenlets.wait_writable(connection, connection.io_timeout_s())


def _io_timeout_s() -> float:
    """Longer than the server's own time-out, so that its error arrives first."""
    return STATEMENT_TIMEOUT_S + 2


class ReadOnlyServer(ConnectionError):
    """The server accepts no writes: it is a standby."""


class Session:
    """A connection with its prepared statements, for one thread or greenlet at a time."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        cooperative: bool,
        timeout_s: float | None = None,
        must_accept_writes: bool = False,
        is_superseded: Callable[[], bool] | None = None,
    ) -> None:
        """Connect; blocks, and raises an error of pg8000 or OSError.

        `cooperative`: used only in greenlets; otherwise only outside of them. `timeout_s`
        replaces the default time-outs for connecting and, outside of greenlets, for each response.
        With `must_accept_writes` a standby raises ReadOnlyServer. `is_superseded` is called while
        the server does not answer: true ends the wait with TimeoutError.
        """
        connect_s = timeout_s or CONNECT_TIMEOUT_S
        address = (options["host"], options["port"])
        plain = socket.create_connection(address, timeout=connect_s)
        self._socket = _Socket(fileno=plain.detach())
        self._socket.settimeout(connect_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if options["ssl_context"]:
                self._socket = _with_tls(self._socket, options["ssl_context"], options["host"])
            self._connection = Connection(
                sock=self._socket,
                application_name="leadline",
                tcp_keepalive=True,
                **{**options, "ssl_context": False},  # TLS, if any, has been set up above
            )
            self._connection.run(
                f"SET statement_timeout = {STATEMENT_TIMEOUT_S * 1000};"
                f"SET lock_timeout = {LOCK_TIMEOUT_S * 1000};"
                # For SSDs. Also, a plan made for an empty table lasts until the first autoanalyze,
                # and would otherwise scan the whole table, however large it is by then.
                "SET random_page_cost = 1.1"
            )
            if must_accept_writes:
                self._require_writes()
        except BaseException:
            self.close()
            raise
        if timeout_s is None:
            self._socket.is_superseded = is_superseded
        self._socket.settimeout(0 if cooperative else timeout_s or self._socket.io_timeout_s())
        # pg8000's own parser of timestamps takes ten times as long.
        self._connection.register_in_adapter(_TIMESTAMPTZ_OID, datetime.fromisoformat)
        #: Which server of its cluster this is, if another one may replace it.
        self.server: int | None = None
        self._prepared: dict[str, PreparedStatement] = {}
        self._used_at = float("-inf")

    def _require_writes(self) -> None:
        if self._connection.run("SHOW transaction_read_only") != [["off"]]:
            raise ReadOnlyServer

    def run(self, sql: str, params: Mapping[str, object]) -> list[dict[str, Any]]:
        """The rows that this statement returns; raises an error of pg8000 or OSError.

        A parameter that is missing in `params` is a TypeError: a defect of the caller.
        """
        statement = self._prepared.get(sql)
        if statement is None:
            statement = self._prepared[sql] = self._connection.prepare(sql)
        try:
            rows = statement.run(**params)
        except InterfaceError as error:
            # pg8000 has one class for lost connections and for missing parameters.
            if isinstance(error.__context__, KeyError):
                raise TypeError(str(error)) from None
            raise
        self._used_at = time.monotonic()
        if not rows:
            return []
        names = [column["name"] for column in statement.columns]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def is_stale(self) -> bool:
        """Whether the server closed the idle connection: there are unexpected bytes to read."""
        if time.monotonic() - self._used_at < CHECK_AFTER_S:
            return False
        poll = select.poll()  # unlike select, it works with any file descriptor
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close at once: pg8000 keeps a reference to its socket, which would stay open."""
        fileno = self._socket.detach()
        if fileno >= 0:
            os.close(fileno)


def sqlstate(error: DatabaseError) -> str:
    """The error's code, "" if it has none."""
    return fields(error).get("C", "")


def fields(error: DatabaseError) -> dict[str, str]:
    """The error's fields by https://www.postgresql.org/docs/current/protocol-error-fields.html."""
    return error.args[0] if isinstance(error.args[0], dict) else {}


def _with_tls(plain: socket.socket, context: ssl.SSLContext, host: str) -> TlsSocket:
    """Start TLS (https://www.postgresql.org/docs/current/protocol-flow.html, SSLRequest).

    Raises:
        ConnectionRefusedError: the server has no TLS.
        ssl.SSLError: such as an invalid certificate.
    """
    plain.sendall(struct.pack("!ii", _SSL_REQUEST_LENGTH, _SSL_REQUEST_CODE))
    if plain.recv(1) != b"S":
        log.error("Postgres refuses TLS")
        raise ConnectionRefusedError
    try:
        wrapped = context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLError as error:
        log.error("TLS to Postgres failed", reason=error.reason)  # noqa: TRY400 - no stack needed
        raise
    return cast("TlsSocket", wrapped)  # the context's own class of sockets
