"""Postgres through pg8000: a connection pool, prepared statements, our errors.

A prepared statement takes one round trip instead of three, and network errors arrive as plain
OSError (both measured).
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

from pg8000.exceptions import DatabaseError, InterfaceError

from leadline.errors import DatabaseBusy, DatabaseDown
from leadline.process import per_process_closing
from leadline.runtime import secrets
from leadline.runtime.concurrency import greenlets
from leadline.runtime.postgres.cluster import Cluster
from leadline.runtime.postgres.connection import Session, fields, sqlstate
from leadline.runtime.secrets import UrlSource

#: SQLSTATE classes and codes of transient errors: connection, resources, operator intervention,
#: read-only standby, serialization, deadlock.
_TRANSIENT = ("08", "53", "57", "58", "25006", "40001", "40P01")

INSUFFICIENT_PRIVILEGE = "42501"
UNIQUE_VIOLATION = "23505"
LOCK_NOT_AVAILABLE = "55P03"
#: The statement's own time-out, or an administrator's cancel.
QUERY_CANCELED = "57014"

Row = dict[str, Any]


class StatementError(Exception):
    """Postgres rejected a statement: its SQLSTATE, and the violated constraint or ""."""

    def __init__(self, code: str, constraint: str) -> None:
        super().__init__(f"SQLSTATE {code} {constraint}".strip())
        self.code = code
        self.constraint = constraint


class StatementTimeout(DatabaseDown):
    """Postgres took too long, and nothing was written; a narrower search takes less time."""

    problem = "statement_timeout"


class Database:
    """Runs single statements, each in its own transaction, for any threads and greenlets.

    Each running statement has its own connection; at most THREADS greenlets have one at a time.
    """

    def __init__(self, source: UrlSource) -> None:
        self._cluster = Cluster(source)
        self._slots = greenlets.Semaphore(greenlets.threads())
        #: Idle sessions for greenlets (True) and for threads (False). The one used last is taken
        #: first: its statements are warm, and surplus sessions stay idle.
        self._idle: dict[bool, list[Session]] = {True: [], False: []}

    def run(self, sql: str, **params: object) -> list[Row]:
        """Run a statement; returns its rows as dictionaries.

        Raises:
            DatabaseDown: Postgres can't be reached; the statement may have run.
            DatabaseBusy: a lock was not released in time; the statement has not run.
            StatementTimeout: it took too long and was rolled back.
            StatementError: Postgres rejected the statement.
        """
        try:
            with self._slots:
                return self._run(sql, params)
        except DatabaseError as error:
            raise _translate(error) from None
        except (InterfaceError, OSError):
            raise DatabaseDown from None

    def close(self) -> None:
        """Close the idle sessions; the next statement opens a new one."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _run(self, sql: str, params: dict[str, object]) -> list[Row]:
        idle = self._idle[greenlets.in_greenlet()]
        session = self._acquire(idle)
        is_usable = False
        try:
            rows = session.run(sql, params)
            is_usable = True
        except DatabaseError as error:
            code = sqlstate(error)
            is_usable = code == QUERY_CANCELED or not code.startswith(_TRANSIENT)
            raise
        finally:
            if is_usable:
                idle.append(session)
            else:
                session.close()
        return rows

    def _acquire(self, idle: list[Session]) -> Session:
        """An idle session that is still open, else a new one."""
        while True:
            try:
                session = idle.pop()
            except IndexError:
                return greenlets.run_in_thread(
                    partial(self._cluster.connect, cooperative=greenlets.in_greenlet())
                )
            if self._cluster.is_current(session) and not session.is_stale():
                return session
            session.close()


def _translate(error: DatabaseError) -> Exception:
    """An error of pg8000 as one of ours."""
    code = sqlstate(error)
    if code == QUERY_CANCELED:
        return StatementTimeout()
    if code.startswith(_TRANSIENT):
        return DatabaseDown()
    if code == LOCK_NOT_AVAILABLE:
        return DatabaseBusy()
    return StatementError(code, fields(error).get("n", ""))


def array_literal(ids: Iterable[int | str]) -> str:
    """Ids or UUIDs as the text of an array, for a parameter that the statement casts to one.

    pg8000 would escape a list character by character, which delays other requests.
    """
    return f"{{{','.join(map(str, ids))}}}"


@per_process_closing(Database.close)
def database() -> Database:
    """This process's database; connects at first use."""
    return Database(secrets.url_source("database-url"))
