"""A connection to Postgres: TLS, time-outs, prepared statements."""

import os
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import structlog
from pg8000.native import Connection, PreparedStatement

from leadline.runtime.concurrency import greenlets

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 3
#: A connection used within this time is not looked at: no server restarts as fast (0.14 s).
LOOK_AFTER_S = 0.05

#: https://www.postgresql.org/docs/current/catalog-pg-type.html
_TIMESTAMPTZ_OID = 1184


class _Socket(socket.socket):
    """One that does not block lets other turns go on where it would."""

    def recv_into(self, *args: Any) -> int:
        return _patiently(greenlets.wait_readable, self, super().recv_into, *args)

    def send(self, *args: Any) -> int:
        return _patiently(greenlets.wait_writable, self, super().send, *args)


class TlsSocket(_Socket, ssl.SSLSocket):
    """The same with TLS."""


def _patiently(
    wait: Callable[[socket.socket, float], None],
    connection: socket.socket,
    attempt: Callable[..., int],
    *args: Any,
) -> int:
    while True:
        try:
            return attempt(*args)
        except BlockingIOError:
            wait(connection, _patience_s())
        except ssl.SSLWantReadError:
            greenlets.wait_readable(connection, _patience_s())
        except ssl.SSLWantWriteError:
            greenlets.wait_writable(connection, _patience_s())


def _patience_s() -> float:
    """Longer than the server's own limit, so that its answer tells what happened."""
    return STATEMENT_TIMEOUT_S + 2


class Session:
    """One connection and the statements prepared on it; for one thread or turn at a time."""

    def __init__(
        self, options: Mapping[str, Any], *, cooperative: bool, timeout_s: float | None = None
    ) -> None:
        """Connect; it blocks, and raises what pg8000 does, or OSError.

        `cooperative`: afterwards it is used in turns only, else outside of them. `timeout_s` is for
        connecting and, outside of turns, for each answer, in place of ours.
        """
        connect_s = timeout_s or CONNECT_TIMEOUT_S
        address = (options["host"], options["port"])
        plain = socket.create_connection(address, timeout=connect_s)
        self._socket: socket.socket = _Socket(fileno=plain.detach())
        self._socket.settimeout(connect_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if options["ssl_context"]:
                self._socket = _with_tls(self._socket, options["ssl_context"], options["host"])
            self._connection = Connection(
                sock=self._socket,
                application_name="leadline",
                tcp_keepalive=True,
                **{**options, "ssl_context": False},  # it has TLS by now, if any
            )
            self._connection.run(
                f"SET statement_timeout = {STATEMENT_TIMEOUT_S * 1000};"
                f"SET lock_timeout = {LOCK_TIMEOUT_S * 1000};"
                # Of disks without heads. It also keeps plans that were made for empty tables, and
                # last until the first autoanalyze, from reading all of what they have become.
                "SET random_page_cost = 1.1"
            )
        except BaseException:
            self.close()
            raise
        self._socket.settimeout(0 if cooperative else timeout_s or _patience_s())
        # pg8000 reads the pattern of a time anew for each value, at ten times the price.
        self._connection.register_in_adapter(_TIMESTAMPTZ_OID, datetime.fromisoformat)
        self._prepared: dict[str, PreparedStatement] = {}
        self._used_at = float("-inf")

    def run(self, sql: str, params: Mapping[str, object]) -> list[dict[str, Any]]:
        """The rows that this statement returns; raises what pg8000 does, or OSError."""
        statement = self._prepared.get(sql)
        if statement is None:
            statement = self._prepared[sql] = self._connection.prepare(sql)
        rows = statement.run(**params)
        self._used_at = time.monotonic()
        if not rows:
            return []
        names = [column["name"] for column in statement.columns]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def is_stale(self) -> bool:
        """Whether the server hung up while the connection was idle: unasked bytes wait."""
        if time.monotonic() - self._used_at < LOOK_AFTER_S:
            return False
        look = select.poll()  # unlike select, for a socket of any number
        look.register(self._socket, select.POLLIN)
        return bool(look.poll(0))

    def close(self) -> None:
        """Hang up at once: pg8000 holds on to its socket, and the server would serve on."""
        number = self._socket.detach()
        if number >= 0:
            os.close(number)


def _with_tls(plain: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """Ask for TLS (https://www.postgresql.org/docs/current/protocol-flow.html, SSLRequest)."""
    plain.sendall(struct.pack("!ii", 8, 80877103))
    if plain.recv(1) != b"S":
        log.error("Postgres refuses TLS")
        raise ConnectionRefusedError
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLError as error:
        log.error("no TLS to Postgres", reason=error.reason)  # noqa: TRY400 - no stack needed
        raise
