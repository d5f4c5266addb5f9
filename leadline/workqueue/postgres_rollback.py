"""Detects a rollback of Postgres by its last position, which is stored in Redis.

A data directory restored from a snapshot looks like the same database in the same history. Only
another server can know that it had advanced further.
"""

import structlog

from leadline.errors import BadConfiguration, QueueError
from leadline.runtime import secrets
from leadline.runtime.once_per_interval import Interval
from leadline.runtime.postgres import installation
from leadline.runtime.postgres.installation import Position

log = structlog.get_logger()

#: Interval of a process's checks, and the one after an error of Redis, which costs a time-out.
CHECK_EVERY_S = 15.0
RETRY_S = 60.0

_checks = Interval(CHECK_EVERY_S)


def detect() -> None:
    """Begin a new history if Postgres is behind its position in Redis; then store its position.

    Without Redis nothing is detected.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if secrets.get("redis-url") is None or not _checks.claim():
        return
    try:
        _begin_history_if_behind()
    except (QueueError, BadConfiguration) as error:
        log.warning("last position of Postgres unknown", error=type(error).__name__)
        _checks.reschedule(RETRY_S)


def _begin_history_if_behind() -> None:
    # A relay is ready to serve without Redis' client, see test_cold_start.
    from leadline.runtime.redis import client, reachable  # noqa: PLC0415
    from leadline.workqueue.queue import work_queue  # noqa: PLC0415

    key = f"{work_queue().prefix}postgres"
    # Read Redis first: by the time we read Postgres, it has passed any position that another relay
    # stored.
    with reachable():
        last_position = _parse_position(client().hmget(key, "history", "written"))
    position = installation.position()
    if last_position and position < last_position:
        log.error("Postgres was rolled back", history=last_position.history)
        installation.begin_history(lost=last_position.history)
        position = installation.position()
    with reachable():
        client().hset(key, mapping={"history": position.history, "written": position.written})


def _parse_position(values: object) -> Position | None:
    """Parse the position stored in Redis; None if there is none."""
    match values:
        case [bytes() as history, bytes() as written]:
            return Position(int(history), int(written))
    return None
