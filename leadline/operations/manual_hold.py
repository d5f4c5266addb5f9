"""Manual hold: an operator's pause, in Redis for the workers and in Postgres for durability.

If Redis loses its data or the writes of its last second, the relay's next tick restores the hold
from Postgres.
Without a database (Bitrix24's side deployed alone) it is stored in Redis only.
"""

import structlog

from leadline.errors import BadConfiguration, DatabaseDown, QueueDown, QueueError
from leadline.operations import stored_hold
from leadline.operations.stored_hold import Hold
from leadline.runtime import secrets
from leadline.workqueue.portal_state import circuit_breaker

log = structlog.get_logger()


def hold(reason: str) -> None:
    """Pause all calls until `resume`, even if Redis loses its data.

    Raises:
        QueueDown, DatabaseDown: the hold was stored only in Postgres, or only in Redis.
    """
    try:
        since = circuit_breaker().hold(reason)
    except QueueDown:
        if not _has_database():
            raise
        stored_hold.save(since=None, reason=reason)
        raise QueueDown(
            "Redis can't be reached: calls are paused by the relay once it can"
        ) from None
    if _has_database():
        try:
            stored_hold.save(since, reason)
        except DatabaseDown:
            raise DatabaseDown(
                "calls are paused, but Postgres can't be reached to store that: repeat it later"
            ) from None


def resume() -> bool:
    """Resume calls, whatever paused them; returns False if nothing was paused.

    Raises:
        DatabaseDown: Postgres can't be reached; the hold remains.
        QueueDown: Redis can't be reached; the hold remains until this is repeated.
    """
    # Postgres first, or the relay would restore the hold.
    was_stored = _has_database() and stored_hold.delete()
    return circuit_breaker().resume() or was_stored


def restore(stored: Hold) -> None:
    """Restore the stored hold in Redis, unless an operator has resumed meanwhile."""
    if secrets.get("redis-url") is None:
        return
    try:
        circuit_breaker().restore_hold(stored.since, stored.reason)
    except (QueueError, BadConfiguration) as error:
        log.warning("manual hold not restored in Redis", error=type(error).__name__)


def _has_database() -> bool:
    return secrets.get("database-url") is not None
