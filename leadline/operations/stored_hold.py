"""Which portal an operator has paused, kept where nothing is forgotten."""

from dataclasses import dataclass

from leadline.runtime.postgres.pool import database
from leadline.settings import settings

_KEEP = """
INSERT INTO held_portals (portal, since, reason)
VALUES (:portal, COALESCE(to_timestamp(CAST(:since AS float)), now()), :reason)
ON CONFLICT (portal) DO UPDATE SET since = excluded.since, reason = excluded.reason
"""
_KEPT = """
SELECT CAST(extract(epoch FROM since) AS float) AS since, reason
FROM held_portals WHERE portal = :portal
"""
_FORGET = "DELETE FROM held_portals WHERE portal = :portal RETURNING portal"


@dataclass(frozen=True, slots=True)
class Hold:
    """Since when (unix seconds, by Redis' clock where it was there) and why."""

    since: float
    reason: str


def keep(since: float | None, reason: str) -> None:
    """Remember that this portal is held; `since` None: from now on.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    database().run(_KEEP, portal=settings().portal, since=since, reason=reason)


def kept() -> Hold | None:
    """The hold of this portal, None where it is not held.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    rows = database().run(_KEPT, portal=settings().portal)
    return Hold(**rows[0]) if rows else None


def forget() -> bool:
    """The portal is held no more; whether it was.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return bool(database().run(_FORGET, portal=settings().portal))
