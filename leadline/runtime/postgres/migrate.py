"""Migrate the database to the newest schema: `python -m leadline.runtime.postgres.migrate`.

Safe to run concurrently: an advisory lock lets one run migrate while the others wait and then find
nothing to do.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from leadline.runtime import secrets
from leadline.runtime.postgres.cluster import Cluster
from leadline.runtime.postgres.pool import Database, StatementError
from leadline.runtime.telemetry import log

if TYPE_CHECKING:
    import sqlalchemy

#: The key of the advisory lock: any constant that the database uses for nothing else.
LOCK = 0x1EAD11E
_PACKAGE = Path(__file__).parents[2]
#: Next to the package; in the wheel inside it.
MIGRATIONS = (_PACKAGE if (_PACKAGE / "migrations").is_dir() else _PACKAGE.parent) / "migrations"
_LOCK_POLL_S = 0.2

_UNDEFINED_TABLE = "42P01"


def migrate(url: str, to: str | None = None) -> str:
    """Upgrade to revision `to`, by default the newest; returns the revision.

    A schema of a newer version, as after a rollback, stays as it is: older code works with it.

    Raises:
        BadConfiguration: the URL is invalid.
        DatabaseDown: the database can't be reached.
        sqlalchemy.exc.SQLAlchemyError: a migration failed.
    """
    target = to or newest()
    current = _current_revision(url)
    # Most starts find nothing to do, and need not import Alembic.
    return current if current is not None and current >= target else _upgrade(url, target)


def newest() -> str:
    """The revision that the code expects: files begin with their revision, and revisions grow."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("*.py"))


def _current_revision(url: str) -> str | None:
    database = Database(url)
    try:
        rows = database.run("SELECT version_num FROM alembic_version")
    except StatementError as error:
        if error.code != _UNDEFINED_TABLE:
            raise
        return None
    finally:
        database.close()
    return str(rows[0]["version_num"]) if rows else None


def _upgrade(url: str, to: str) -> str:
    import sqlalchemy  # noqa: PLC0415 - see `migrate`
    from alembic import command  # noqa: PLC0415 - see `migrate`
    from alembic.config import Config  # noqa: PLC0415 - see `migrate`

    engine = sqlalchemy.create_engine(
        "postgresql+pg8000://",
        connect_args=Cluster(url).options(),
        isolation_level="AUTOCOMMIT",
        poolclass=sqlalchemy.NullPool,  # a pooled connection would keep the lock
    )
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as guard:
        _lock(guard)
        with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, to)
        revision = guard.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
    return str(revision)


def _lock(guard: "sqlalchemy.Connection") -> None:
    """Wait for the advisory lock, which ends with the connection."""
    # Polls, since CREATE INDEX CONCURRENTLY waits for every running statement: a migration would
    # wait for another run's blocking lock statement, and that one for the migration.
    while not guard.exec_driver_sql(f"SELECT pg_try_advisory_lock({LOCK})").scalar_one():
        time.sleep(_LOCK_POLL_S)


if __name__ == "__main__":
    log.configure("migrate")
    structlog.get_logger().info(
        "database migrated", revision=migrate(secrets.require("database-url"))
    )
