"""An operator's pause, in Redis where the workers see it, and in Postgres where it is kept.

Redis may be emptied, or restart without its last second; then the relay's next tick restores what
the ledger says. Where no database is at hand (the side of Bitrix24 stands alone) Redis keeps it.
"""

import redis
import structlog

from leadline.errors import BadConfiguration, DatabaseDown, QueueDown
from leadline.operations import stored_hold
from leadline.operations.stored_hold import Hold
from leadline.runtime import secrets
from leadline.runtime.redis import reachable
from leadline.workqueue.portal_state import circuit_breaker

log = structlog.get_logger()


def hold(reason: str) -> None:
    """Make no calls until `release`, whatever Redis forgets.

    Raises:
        QueueDown, DatabaseDown: what is said of the hold is done in one place only.
    """
    try:
        with reachable():
            since = circuit_breaker().hold(reason)
    except QueueDown:
        if not _has_database():
            raise
        stored_hold.keep(None, reason)
        raise QueueDown(
            "Redis can't be reached: calls are paused by the relay once it can"
        ) from None
    if _has_database():
        try:
            stored_hold.keep(since, reason)
        except DatabaseDown:
            raise DatabaseDown(
                "calls are paused, but Postgres can't be reached to keep that: repeat it later"
            ) from None


def release() -> bool:
    """Make calls again, whatever paused them; False: nothing was paused.

    Raises:
        DatabaseDown: Postgres can't be reached; a hold goes on.
        QueueDown: Redis can't be reached; a hold goes on until this is repeated.
    """
    # First where it is kept, or the relay would restore it.
    was_kept = _has_database() and stored_hold.forget()
    with reachable():
        return circuit_breaker().release() or was_kept


def restore(kept: Hold) -> None:
    """Tell Redis again what the ledger has kept, unless an operator has resumed meanwhile."""
    if secrets.get("redis-url") is None:
        return
    try:
        with reachable():
            circuit_breaker().restore_hold(kept.since, kept.reason)
    except (QueueDown, BadConfiguration, redis.RedisError) as error:
        log.warning("Redis can't be told that calls are held", error=type(error).__name__)


def _has_database() -> bool:
    return secrets.get("database-url") is not None
