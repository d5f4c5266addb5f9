"""Bring the database to the newest schema: `python -m leadline.runtime.migrate`.

Safe to run many at once: an advisory lock lets one of them work while the others wait and then
find nothing to do.
"""

from pathlib import Path

import sqlalchemy
import structlog
from alembic import command
from alembic.config import Config

from leadline.runtime import log, secrets

#: Any constant that nothing else in the database uses.
LOCK = 0x1EAD11E
MIGRATIONS = Path(__file__).parents[2] / "migrations"


def migrate(url: str) -> str:
    """Apply what is missing and return the schema's revision.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database can't be reached or refuses a migration.
    """
    engine = sqlalchemy.create_engine(_with_driver(url), isolation_level="AUTOCOMMIT")
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


def _with_driver(url: str) -> sqlalchemy.URL:
    return sqlalchemy.make_url(url).set(drivername="postgresql+pg8000", query={})


if __name__ == "__main__":
    log.configure("migrate")
    structlog.get_logger().info(
        "database migrated", revision=migrate(secrets.require("database-url"))
    )
