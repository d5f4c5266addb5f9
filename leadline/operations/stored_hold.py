"""Manual holds in Postgres, by portal."""

from dataclasses import dataclass

from leadline.runtime.postgres.pool import database
from leadline.settings import settings

_SAVE = """
INSERT INTO held_portals (portal, since, reason)
VALUES (:portal, COALESCE(to_timestamp(CAST(:since AS float)), now()), :reason)
ON CONFLICT (portal) DO UPDATE SET since = excluded.since, reason = excluded.reason
"""
_LOAD = """
SELECT CAST(extract(epoch FROM since) AS float) AS since, reason
FROM held_portals WHERE portal = :portal
"""
_DELETE = "DELETE FROM held_portals WHERE portal = :portal RETURNING portal"


@dataclass(frozen=True, slots=True)
class Hold:
    """Since when (unix seconds, by Redis' clock if it was reachable) and why."""

    since: float
    reason: str


def save(since: float | None, reason: str) -> None:
    """Store the hold of this portal; `since` None: now.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    database().run(_SAVE, portal=settings().portal, since=since, reason=reason)


def load() -> Hold | None:
    """The hold of this portal, None if there is none.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    rows = database().run(_LOAD, portal=settings().portal)
    return Hold(**rows[0]) if rows else None


def delete() -> bool:
    """Delete the hold of this portal; returns whether there was one.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return bool(database().run(_DELETE, portal=settings().portal))
