"""Postgres through pg8000: a connection per thread, prepared statements, errors as ours.

pg8000 connections are not thread-safe, a prepared statement takes one round trip instead of three,
and network trouble arrives as plain OSError (all measured).
"""

import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog
from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection, PreparedStatement

from leadline.runtime import secrets, turns
from leadline.runtime.errors import BadConfiguration, DatabaseBusy, DatabaseDown
from leadline.runtime.secrets import Address

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 3
#: A connection used within this time is not looked at: no server restarts as fast (0.14 s), and the
#: look costs a switch between threads.
LOOK_AFTER_S = 0.05

#: SQLSTATE classes and codes after which the same statement may well succeed:
#: connection, resources, operator intervention, read-only standby, serialization, deadlock.
_PASSING = ("08", "53", "57", "58", "25006", "40001", "40P01")

#: https://www.postgresql.org/docs/current/catalog-pg-type.html
_TIMESTAMPTZ_OID = 1184

UNIQUE_VIOLATION = "23505"
LOCK_NOT_AVAILABLE = "55P03"

Row = dict[str, Any]


class StatementError(Exception):
    """Postgres refused a statement; `code` is its SQLSTATE, `constraint` the name where one bit."""

    def __init__(self, code: str, constraint: str) -> None:
        super().__init__(f"SQLSTATE {code} {constraint}".strip())
        self.code = code
        self.constraint = constraint


class Database:
    """Runs single statements, each its own transaction, for any number of threads."""

    def __init__(self, address: Address) -> None:
        self._address = address
        connect_options(secrets.now(address))  # what makes no sense is told at once
        self._local = threading.local()

    def run(self, sql: str, **params: object) -> list[Row]:
        """The rows that this statement returns, as dictionaries.

        Raises:
            DatabaseDown: Postgres can't be reached; the statement may have run.
            DatabaseBusy: a lock was not to be had in time; the statement has not run.
            StatementError: Postgres refused the statement.
        """
        return turns.aside(lambda: self._run(sql, params))

    def _run(self, sql: str, params: dict[str, object]) -> list[Row]:
        try:
            return self._session().run(sql, params)
        except DatabaseError as error:
            facts = error.args[0] if isinstance(error.args[0], dict) else {}
            code = facts.get("C", "")
            if code.startswith(_PASSING):
                self.close()
                raise DatabaseDown from None
            if code == LOCK_NOT_AVAILABLE:
                raise DatabaseBusy from None
            raise StatementError(code, facts.get("n", "")) from None
        except (InterfaceError, OSError):
            self.close()
            raise DatabaseDown from None

    def close(self) -> None:
        """End this thread's connection; its next statement makes a new one."""
        session: _Session | None = getattr(self._local, "session", None)
        self._local.session = None
        if session is not None:
            session.close()

    def _session(self) -> "_Session":
        session: _Session | None = getattr(self._local, "session", None)
        if session is not None and session.is_stale():
            self.close()
            session = None
        if session is None:
            session = self._local.session = _Session(connect_options(secrets.now(self._address)))
        return session


class _Session:
    """One connection and the statements prepared on it."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        address = (options["host"], options["port"])
        self._socket = socket.create_connection(address, timeout=CONNECT_TIMEOUT_S)
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
                f"SET lock_timeout = {LOCK_TIMEOUT_S * 1000}"
            )
        except BaseException:
            self.close()
            raise
        # Longer than the server's own limit, so that its answer tells what happened.
        self._socket.settimeout(STATEMENT_TIMEOUT_S + 2)
        # pg8000 reads the pattern of a time anew for each value, at ten times the price.
        self._connection.register_in_adapter(_TIMESTAMPTZ_OID, datetime.fromisoformat)
        self._prepared: dict[str, PreparedStatement] = {}
        self._used_at = float("-inf")

    def run(self, sql: str, params: dict[str, object]) -> list[Row]:
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
        readable, _, _ = select.select([self._socket], [], [], 0)
        return bool(readable)

    def close(self) -> None:
        self._socket.close()


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


@lru_cache(maxsize=4)
def connect_options(url: str) -> Mapping[str, Any]:
    """What pg8000 needs to connect as this URL says, TLS by libpq's `sslmode` and `sslrootcert`.

    Raises:
        BadConfiguration: it makes no sense; the URL itself is not quoted.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:  # its text quotes the URL
        parts, port = urlsplit(""), 0
    if parts.scheme not in {"postgresql", "postgres"} or not parts.hostname:
        raise BadConfiguration(
            "DATABASE_URL must look like postgresql://user:password@host:5432/db"
        )
    return {
        "host": parts.hostname,
        "port": port,
        "user": unquote(parts.username or "postgres"),
        "password": unquote(parts.password) if parts.password else None,
        "database": unquote(parts.path.lstrip("/")) or "postgres",
        "ssl_context": _ssl_context(dict(parse_qsl(parts.query))),
    }


def _ssl_context(query: dict[str, str]) -> ssl.SSLContext | bool:
    """https://www.postgresql.org/docs/current/libpq-ssl.html; `require` trusts any certificate.

    Made once for each URL, as building a context takes 30 ms.
    """
    mode, roots = query.get("sslmode", "disable"), query.get("sslrootcert", "system")
    if mode == "disable":
        return False
    if mode not in {"require", "verify-ca", "verify-full"}:
        raise BadConfiguration("sslmode is disable, require, verify-ca or verify-full")
    try:
        context = ssl.create_default_context(cafile=None if roots == "system" else roots)
    except OSError:  # ssl.SSLError is one too
        raise BadConfiguration("sslrootcert is not a readable file of certificates") from None
    context.check_hostname = mode == "verify-full"
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context


_database: Database | None = None
_lock = threading.Lock()


def database() -> Database:
    """This process's database; connections are made at first use."""
    global _database  # noqa: PLW0603 - one per process, made after any fork
    with _lock:
        if _database is None:
            _database = Database(secrets.address("database-url"))
        return _database
