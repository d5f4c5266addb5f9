"""The installation that a database belongs to, and the current history of Postgres.

After a failover to an asynchronous replica or a restore, Postgres lacks its newest transactions.
Statements that write or claim events call the SQL function `leadline_present()`: it returns the
current history, or fails if the database is not the one in which that history began.
`run_in_current_history` then begins a new one and repeats the statement
(docs/decisions/0014-history-of-postgres.md).
"""

from dataclasses import dataclass

import structlog

from leadline.runtime.postgres.pool import Row, StatementError, database
from leadline.runtime.telemetry import metrics

log = structlog.get_logger()

FORKS = metrics.Counter(
    "leadline_histories_begun_total",
    "Histories begun by this process: Postgres failed over or was restored",
)

#: SQLSTATE of `leadline_present()` if Postgres has forked.
_FORKED = "LL001"

# How far the WAL has been flushed: a crash can't lose anything before that.
_POSITION = """
SELECT history, CAST(pg_current_wal_flush_lsn() - '0/0' AS bigint) AS written
FROM leadline_present()
"""
_STORED = """
SELECT installation.originator_id, installation.history, swept_to, sweep_to, is_portal_checked
FROM installation
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """The row of `installation`."""

    #: ORIGINATOR_ID of the leads, unless a setting overrides it.
    originator_id: str
    #: When the current history began, in unix ms.
    history: int
    #: The sweep after a fork: the last user resynced so far, and the last one to resync.
    swept_to: int
    sweep_to: int
    #: The leads of our origin have been compared with the users.
    is_portal_checked: bool

    @property
    def is_sweeping(self) -> bool:
        """Whether some leads may still have a state that Postgres has lost."""
        return self.swept_to < self.sweep_to


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """How far Postgres has advanced; within a history, its WAL only grows."""

    history: int
    #: Bytes of the WAL.
    written: int


def run_in_current_history(sql: str, **params: object) -> list[Row]:
    """Run a statement that calls `leadline_present()`; begins a new history if Postgres has forked.

    Raises:
        DatabaseDown, DatabaseBusy, StatementError: as `Database.run`.
    """
    try:
        return database().run(sql, **params)
    except StatementError as error:
        if error.code != _FORKED:
            raise
    begin_history()
    return database().run(sql, **params)


def begin_history(lost: int = 0) -> int:
    """Begin a new history if Postgres has forked, or its history is not newer than `lost`.

    `lost`: a history seen elsewhere, in Redis or in a reply, that this database must go beyond; 0:
    none.

    New ids continue beyond those of the lost history, and a sweep of all users begins. Returns the
    current history.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    (row,) = database().run("SELECT * FROM leadline_history_after(:lost)", lost=lost)
    if row["is_new"]:
        FORKS.inc()
        log.error("history of Postgres forked", history=row["history"])
    return int(row["history"])


def position() -> Position:
    """The current position; begins a new history if Postgres has forked.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    (row,) = run_in_current_history(_POSITION)
    return Position(**row)


def ensure_history() -> Installation:
    """The installation; begins a new history if Postgres has forked.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    (row,) = run_in_current_history(f"{_STORED}, leadline_present()")
    return Installation(**row)


def reserve_ids(last_id: int) -> None:
    """Reserve all ids up to this one: no new user gets them.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    database().run("SELECT leadline_reserve_ids(:last_id)", last_id=last_id)


def mark_portal_checked() -> None:
    """Record that the leads of our origin belong to our users, or that an operator accepts them.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    database().run("UPDATE installation SET is_portal_checked = true")


def stored() -> Installation:
    """The installation as stored, without checking for a fork.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    (row,) = database().run(_STORED)
    return Installation(**row)
