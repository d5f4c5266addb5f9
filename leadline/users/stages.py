"""The allowed stages: the portal's own list if it was read, else Bitrix24's defaults."""

import time

from leadline.errors import InvalidRequest
from leadline.process import per_process
from leadline.runtime.postgres.pool import database
from leadline.settings import settings
from leadline.users.model import DEFAULT_STAGES

CACHE_S = 60.0


class _Cache:
    """The stages as they were last read."""

    def __init__(self) -> None:
        #: When they were read (`time.monotonic`), and the stages; replaced together.
        self.last: tuple[float, tuple[str, ...]] = (-CACHE_S, ())


def allowed() -> tuple[str, ...]:
    """The stages in the portal's order, cached for up to a minute.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    read_at, stages = _cache().last
    if time.monotonic() - read_at < CACHE_S:
        return stages
    rows = database().run(
        "SELECT stage FROM stages WHERE portal = :portal ORDER BY position",
        portal=settings().portal,
    )
    stages = tuple(row["stage"] for row in rows) or DEFAULT_STAGES
    _cache().last = (time.monotonic(), stages)
    return stages


@per_process
def _cache() -> _Cache:
    return _Cache()


def check(stage: str | None) -> None:
    """Reject a stage that the portal does not have; None passes.

    Raises:
        InvalidRequest: unknown stage; the error lists the allowed ones.
        DatabaseDown: Postgres can't be reached.
    """
    if stage is not None and stage not in allowed():
        message = f"must be one of {', '.join(allowed())}"
        raise InvalidRequest(
            "Some fields are missing or invalid.", fields=[{"field": "stage", "message": message}]
        )


def are_fresh() -> bool:
    """Whether the portal's list was read within the last hour.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return bool(
        database().run(
            "SELECT 1 AS one FROM stages "
            "WHERE portal = :portal AND read_at > now() - interval '1 hour' LIMIT 1",
            portal=settings().portal,
        )
    )


def replace(stages: list[str]) -> None:
    """Replace the stored list with the one read from the portal.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    database().run(
        """
        WITH gone AS (
            DELETE FROM stages WHERE portal = :portal AND NOT stage = ANY (CAST(:stages AS text[]))
        )
        INSERT INTO stages (portal, stage, position)
        SELECT :portal, stage, position
        FROM unnest(CAST(:stages AS text[])) WITH ORDINALITY AS new (stage, position)
        ON CONFLICT (portal, stage) DO UPDATE SET position = excluded.position, read_at = now()
        """,
        portal=settings().portal,
        stages=stages,
    )
