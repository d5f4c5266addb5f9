"""Postgres through pg8000: a pool of connections, prepared statements, errors as ours.

A prepared statement takes one round trip instead of three, and network trouble arrives as plain
OSError (both measured).
"""

import threading
from functools import partial
from typing import Any

from pg8000.exceptions import DatabaseError, InterfaceError

from leadline.errors import DatabaseBusy, DatabaseDown
from leadline.runtime import secrets
from leadline.runtime.concurrency import greenlets
from leadline.runtime.postgres.connection import Session
from leadline.runtime.postgres.dsn import connect_options
from leadline.runtime.secrets import UrlSource

#: SQLSTATE classes and codes after which the same statement may well succeed:
#: connection, resources, operator intervention, read-only standby, serialization, deadlock.
_PASSING = ("08", "53", "57", "58", "25006", "40001", "40P01")

INSUFFICIENT_PRIVILEGE = "42501"
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
    """Runs single statements, each its own transaction, for any number of threads and turns.

    Each has a connection to itself meanwhile: as many threads as there are, and THREADS turns.
    """

    def __init__(self, address: UrlSource) -> None:
        self._address = address
        connect_options(secrets.resolve(address))  # what makes no sense is told at once
        self._seats = greenlets.Semaphore(greenlets.THREADS)
        #: Those for turns and those for threads. The one used last comes first: its statements
        #: are warm, and surplus ones stay at rest.
        self._idle: dict[bool, list[Session]] = {True: [], False: []}

    def run(self, sql: str, **params: object) -> list[Row]:
        """The rows that this statement returns, as dictionaries.

        Raises:
            DatabaseDown: Postgres can't be reached; the statement may have run.
            DatabaseBusy: a lock was not to be had in time; the statement has not run.
            StatementError: Postgres refused the statement.
        """
        try:
            with self._seats:
                return self._run(sql, params)
        except DatabaseError as error:
            raise _told(error) from None
        except (InterfaceError, OSError):
            raise DatabaseDown from None

    def close(self) -> None:
        """End the connections that nobody uses; the next statement makes a new one."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _run(self, sql: str, params: dict[str, object]) -> list[Row]:
        idle = self._idle[greenlets.in_greenlet()]
        session = self._session(idle)
        is_usable = False
        try:
            rows = session.run(sql, params)
            is_usable = True
        except DatabaseError as error:
            is_usable = not _code(error).startswith(_PASSING)
            raise
        finally:
            if is_usable:
                idle.append(session)
            else:
                session.close()
        return rows

    def _session(self, idle: list[Session]) -> Session:
        """A connection that nobody else uses."""
        while True:
            try:
                session = idle.pop()
            except IndexError:
                return greenlets.run_in_thread(
                    partial(self._connected, cooperative=greenlets.in_greenlet())
                )
            if not session.is_stale():
                return session
            session.close()

    def _connected(self, *, cooperative: bool) -> Session:
        return Session(connect_options(secrets.resolve(self._address)), cooperative=cooperative)


def _told(error: DatabaseError) -> Exception:
    """What Postgres refused, as ours."""
    code = _code(error)
    if code.startswith(_PASSING):
        return DatabaseDown()
    if code == LOCK_NOT_AVAILABLE:
        return DatabaseBusy()
    return StatementError(code, _facts(error).get("n", ""))


def _code(error: DatabaseError) -> str:
    return _facts(error).get("C", "")


def _facts(error: DatabaseError) -> dict[str, str]:
    """https://www.postgresql.org/docs/current/protocol-error-fields.html."""
    return error.args[0] if isinstance(error.args[0], dict) else {}


_database: Database | None = None
_lock = threading.Lock()


def database() -> Database:
    """This process's database; connections are made at first use."""
    global _database  # noqa: PLW0603 - one per process, made after any fork
    with _lock:
        if _database is None:
            _database = Database(secrets.url_source("database-url"))
        return _database
