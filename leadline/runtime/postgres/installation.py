"""The installation that a database belongs to, and the history of Postgres that it lives in.

After a failover to an asynchronous replica or a restore, Postgres lacks its newest transactions.
Statements that write or claim events call `leadline_present()`, which refuses while the database is
not the one in which the present history began. `guarded` then begins a new history and repeats the
statement (docs/decisions/0014-history-of-postgres.md).
"""

from dataclasses import dataclass

import structlog

from leadline.runtime.postgres.pool import Row, StatementError, database
from leadline.runtime.telemetry import metrics

log = structlog.get_logger()

FORKS = metrics.Counter(
    "leadline_histories_begun_total",
    "New histories begun by this process: Postgres failed over or was restored",
)

#: SQLSTATE of `leadline_present()` where Postgres has forked.
_FORKED = "LL001"

# How far the log is on disk: what a crash can't take back.
_POSITION = """
SELECT history, CAST(pg_current_wal_flush_lsn() - '0/0' AS bigint) AS written
FROM leadline_present()
"""
_STORED = """
SELECT one.originator_id, one.history, swept_to, sweep_to, is_portal_checked
FROM installation AS one
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """The database's own word of what it is."""

    #: What the leads bear as their origin unless a setting says otherwise.
    originator_id: str
    #: When the present history was recognised, in unix ms.
    history: int
    #: The sweep after a fork: the last user that has its LOOK event, and the last that needs one.
    swept_to: int
    sweep_to: int
    #: The leads of our origin have been compared with the users once.
    is_portal_checked: bool

    @property
    def is_sweeping(self) -> bool:
        """Whether users are left whose lead may show a state that Postgres has lost."""
        return self.swept_to < self.sweep_to


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A point in the life of Postgres: within a history, its log only grows."""

    history: int
    #: Bytes of the log.
    written: int


def guarded(sql: str, **params: object) -> list[Row]:
    """Run a statement that calls `leadline_present()`, in a new history where Postgres has forked.

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
    """The present history; a new one if Postgres has forked, or is as old as the `lost` one.

    Ids go on beyond those that the lost history may have given, and a sweep of all users begins.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    (row,) = database().run("SELECT * FROM leadline_history_after(:lost)", lost=lost)
    if row["is_new"]:
        FORKS.inc()
        log.error("history of Postgres forked", history=row["history"])
    return int(row["history"])


def position() -> Position:
    """How far Postgres has come; a new history begins if it has forked.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    (row,) = guarded(_POSITION)
    return Position(**row)


def check() -> Installation:
    """The installation in its present history, which begins now if Postgres has forked.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    (row,) = guarded(f"{_STORED}, leadline_present()")
    return Installation(**row)


def reserve_ids(last_id: int) -> None:
    """Give ids up to this one to no new user.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    database().run("SELECT leadline_reserve_ids(:last_id)", last_id=last_id)


def note_portal_checked() -> None:
    """The portal's leads of our origin belong to our users, or an operator has accepted them.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    database().run("UPDATE installation SET is_portal_checked = true")


def stored() -> Installation:
    """The installation as it is written down.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    (row,) = database().run(_STORED)
    return Installation(**row)
