"""What the leads of this installation bear as ORIGINATOR_ID."""

from leadline.runtime.postgres import installation
from leadline.settings import settings


def originator_id() -> str:
    """The setting, else the database's own.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return settings().originator_id or installation.stored().originator_id
