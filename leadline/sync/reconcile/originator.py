"""ORIGINATOR_ID of this installation's leads."""

from leadline.runtime.postgres import installation
from leadline.settings import settings


def originator_id() -> str:
    """ORIGINATOR_ID of this installation: the setting, else the one stored in the database.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return settings().originator_id or installation.stored().originator_id
