"""Redis remembers how far Postgres had come, so that a Postgres that went back is noticed.

A data folder that is put back to an earlier time (a volume's snapshot) is the same database in the
same history by all that it says of itself. Only somebody outside knows that it had been further.
"""

import structlog

from leadline.errors import BadConfiguration, QueueDown
from leadline.runtime import secrets
from leadline.runtime.interval import Interval
from leadline.runtime.postgres import installation
from leadline.runtime.postgres.installation import Position

log = structlog.get_logger()

#: How often a process looks, and after trouble with Redis, which costs its time-outs.
LOOK_EVERY_S = 15.0
AFTER_TROUBLE_S = 60.0

_looks = Interval(LOOK_EVERY_S)


def check() -> None:
    """Begin a new history if Postgres is behind what Redis remembers of it; then remember this.

    Without Redis, nothing is noticed.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if secrets.get("redis-url") is None or not _looks.claim():
        return
    import redis  # noqa: PLC0415 - a relay is ready to serve without it, see test_cold_start

    try:
        _compare()
    except (QueueDown, BadConfiguration, redis.RedisError) as error:
        log.warning("Redis can't say how far Postgres was", error=type(error).__name__)
        _looks.reschedule(AFTER_TROUBLE_S)


def _compare() -> None:
    from leadline.runtime.redis import client  # noqa: PLC0415 - see `check`
    from leadline.workqueue.queue import work_queue  # noqa: PLC0415 - see `check`

    key = f"{work_queue().prefix}postgres"
    # Remembered first: wherever another relay saw Postgres, it is there when we look.
    remembered = _remembered(client().hmget(key, "history", "written"))
    now = installation.position()
    if remembered and now < remembered:
        log.error("Postgres is behind what it was", history=remembered.history)
        installation.begin_history(lost=remembered.history)
        now = installation.position()
    client().hset(key, mapping={"history": now.history, "written": now.written})


def _remembered(values: object) -> Position | None:
    """What was found in Redis; None where there is nothing."""
    match values:
        case [bytes() as history, bytes() as written]:
            return Position(int(history), int(written))
    return None
