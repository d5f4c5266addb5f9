"""Bring the database to the newest schema: `python -m leadline.runtime.migrate`.

Safe to run many at once: an advisory lock lets one of them work while the others wait and then
find nothing to do.
"""

from pathlib import Path

import structlog

from leadline.runtime import log, secrets
from leadline.runtime.database import Database, StatementError

#: Any constant that nothing else in the database uses.
LOCK = 0x1EAD11E
MIGRATIONS = Path(__file__).parents[2] / "migrations"

_UNDEFINED_TABLE = "42P01"


def migrate(url: str) -> str:
    """Apply what is missing and return the schema's revision.

    Raises:
        DatabaseDown: the database can't be reached.
        sqlalchemy.exc.SQLAlchemyError: the database refuses a migration.
    """
    present = _present(url)
    # Most starts find nothing to do, and shall not pay for loading the tool that does it.
    return present if present == newest() else _upgrade(url)


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


def _upgrade(url: str) -> str:
    import sqlalchemy  # noqa: PLC0415 - see migrate
    from alembic import command  # noqa: PLC0415 - see migrate
    from alembic.config import Config  # noqa: PLC0415 - see migrate

    address = sqlalchemy.make_url(url).set(drivername="postgresql+pg8000", query={})
    engine = sqlalchemy.create_engine(address, isolation_level="AUTOCOMMIT")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as guard:
        guard.exec_driver_sql(f"SELECT pg_advisory_lock({LOCK})")
        with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        revision = guard.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
    engine.dispose()
    return str(revision)


if __name__ == "__main__":
    log.configure("migrate")
    structlog.get_logger().info(
        "database migrated", revision=migrate(secrets.require("database-url"))
    )
