"""The allowed stages: the portal's own list if it was read, else Bitrix24's defaults."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from leadline.errors import FieldError, InvalidRequest
from leadline.process import per_process
from leadline.runtime.postgres.pool import database
from leadline.settings import settings
from leadline.users.model import DEFAULT_STAGES, NO_STAGE

#: For how long a process uses its copy of the list.
CACHE_S = 60.0


class Stage(NamedTuple):
    """A stage of the portal: its STATUS_ID, and its name if that was read."""

    id: str
    name: str | None = None


class _Cache:
    """The stages as they were last read."""

    def __init__(self) -> None:
        #: When the stages were read (`time.monotonic`), and the stages; replaced together.
        #: At first they have expired.
        self.last: tuple[float, tuple[Stage, ...]] = (-CACHE_S, ())


def allowed() -> tuple[str, ...]:
    """The ids of the `current` stages; raises as it does."""
    return tuple(stage.id for stage in current())


def current() -> tuple[Stage, ...]:
    """The stages in the portal's order, cached for up to a minute.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    read_at, stages = _cache().last
    if time.monotonic() - read_at < CACHE_S:
        return stages
    rows = database().run(
        "SELECT stage AS id, name FROM stages WHERE portal = :portal ORDER BY position",
        portal=settings().portal,
    )
    stages = tuple(Stage(**row) for row in rows) or tuple(map(Stage, DEFAULT_STAGES))
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
        raise unknown(allowed())


def with_allowed_stages(error: InvalidRequest, stages: Iterable[str]) -> InvalidRequest:
    """The error; if it is about a stage that no portal can have, its message lists these stages."""
    for field in error.fields:
        if field["message"] == NO_STAGE:
            field["message"] = _one_of(stages)
    return error


def unknown(stages: Iterable[str]) -> InvalidRequest:
    """The error for a stage that is not one of these."""
    fields: list[FieldError] = [{"field": "stage", "message": _one_of(stages)}]
    return InvalidRequest("Some fields are missing or invalid.", fields=fields)


def _one_of(stages: Iterable[str]) -> str:
    return f"must be one of the portal's stages: {', '.join(stages)}"


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


def replace(stages: Iterable[Stage]) -> None:
    """Replace the stored list with the one read from the portal, in its order.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    listed = list(stages)
    database().run(
        """
        WITH gone AS (
            DELETE FROM stages WHERE portal = :portal AND NOT stage = ANY (CAST(:stages AS text[]))
        )
        INSERT INTO stages (portal, stage, name, position)
        SELECT :portal, stage, name, position
        FROM unnest(CAST(:stages AS text[]), CAST(:names AS text[]))
            WITH ORDINALITY AS new (stage, name, position)
        ON CONFLICT (portal, stage) DO UPDATE
            SET name = excluded.name, position = excluded.position, read_at = now()
        """,
        portal=settings().portal,
        stages=[stage.id for stage in listed],
        names=[stage.name for stage in listed],
    )
