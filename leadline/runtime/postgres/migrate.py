"""Bring the database to the newest schema: `python -m leadline.runtime.postgres.migrate`.

Safe to run many at once: an advisory lock lets one of them work while the others wait and then
find nothing to do.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from leadline.runtime import secrets
from leadline.runtime.postgres.dsn import connect_options
from leadline.runtime.postgres.pool import Database, StatementError
from leadline.runtime.telemetry import log

if TYPE_CHECKING:
    import sqlalchemy

#: Any constant that nothing else in the database uses.
LOCK = 0x1EAD11E
MIGRATIONS = Path(__file__).parents[3] / "migrations"
_LOOK_AGAIN_S = 0.2

_UNDEFINED_TABLE = "42P01"


def migrate(url: str, to: str | None = None) -> str:
    """Apply what is missing up to revision `to`, by default the newest; returns the revision.

    Raises:
        BadConfiguration: the URL makes no sense.
        DatabaseDown: the database can't be reached.
        sqlalchemy.exc.SQLAlchemyError: the database refuses a migration.
    """
    wanted, present = to or newest(), _present(url)
    # Most starts find nothing to do, and shall not pay for loading the tool that does it.
    return present if present == wanted else _upgrade(url, wanted)


def newest() -> str:
    """The revision that the code expects: a revision's file begins with it, and they only grow."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("*.py"))


def _present(url: str) -> str | None:
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
    import sqlalchemy  # noqa: PLC0415 - see migrate
    from alembic import command  # noqa: PLC0415 - see migrate
    from alembic.config import Config  # noqa: PLC0415 - see migrate

    engine = sqlalchemy.create_engine(
        "postgresql+pg8000://",
        connect_args=connect_options(url),
        isolation_level="AUTOCOMMIT",
        poolclass=sqlalchemy.NullPool,  # a kept connection would keep the lock
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
    """Wait for our turn; the lock ends with the connection."""
    # Not by a statement that waits: CREATE INDEX CONCURRENTLY waits for every running statement,
    # so the migration would wait for those who wait for it.
    while not guard.exec_driver_sql(f"SELECT pg_try_advisory_lock({LOCK})").scalar_one():
        time.sleep(_LOOK_AGAIN_S)


if __name__ == "__main__":
    log.configure("migrate")
    structlog.get_logger().info(
        "database migrated", revision=migrate(secrets.require("database-url"))
    )
