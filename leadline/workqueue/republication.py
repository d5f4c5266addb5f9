"""Which events the relay republishes, as far as the work queue knows.

The relay republishes unanswered events, except those that are pending in the work queue. It also
republishes the open events of users for whom Redis may have lost a newer event.
"""

from collections.abc import Callable, Sequence
from itertools import compress

import structlog

from leadline.errors import BadConfiguration, QueueError
from leadline.runtime import secrets
from leadline.runtime.once_per_interval import Interval

log = structlog.get_logger()

#: A work queue whose workers have been silent for longer may be abandoned: its events do not count
#: as pending. Longer than a restart of all workers.
MAX_WORKER_SILENCE_S = 300.0
#: Number of users whose events are made due at a time.
USERS_BATCH = 500
#: Interval of a process's checks, and the one after an error of Redis, which costs a time-out.
CHECK_EVERY_S = 1.0
RETRY_S = 15.0

_checks = Interval(CHECK_EVERY_S)


class PendingEvents:
    """The pending events of the work queue, for one run of the relay.

    Nothing counts as pending if that can't be determined: Redis fails, no worker serves the work
    queue, or there is no `redis-url` because another program consumes `bitrix_queue`.
    """

    def __init__(self) -> None:
        self._is_redis_usable = secrets.get("redis-url") is not None

    def pending_among(self, events: Sequence[tuple[int, str]]) -> set[str]:
        """The ids of those (user id, event id) that will be answered without being republished."""
        if not events or not self._is_redis_usable:
            return set()
        # A tick that finds nothing unanswered does not need Redis' client, which is slow to import.
        from leadline.workqueue.portal_state import worker_heartbeats  # noqa: PLC0415
        from leadline.workqueue.queue import work_queue  # noqa: PLC0415

        try:
            silence_s = worker_heartbeats().silence_s()
            if silence_s is not None and silence_s <= MAX_WORKER_SILENCE_S:
                are_pending = work_queue().are_pending(events)
                return {event_id for _, event_id in compress(events, are_pending)}
            log.warning("no worker serves the work queue: republishing all unanswered events")
        except (QueueError, BadConfiguration) as error:
            log.warning(
                "pending events unknown: republishing all unanswered ones",
                error=type(error).__name__,
            )
        self._is_redis_usable = False  # don't try again in this run: each try may cost a time-out
        return set()


def make_outdated_due(make_due: Callable[[Sequence[int]], None]) -> None:
    """Have the open events republished of users whose entries in Redis may be outdated.

    Redis has lost its last writes, which may have been newer than those entries. `make_due` makes
    the open events of these users due for the relay. If Redis can't be reached, a later run does
    it.

    Raises:
        DatabaseDown: Postgres can't be reached; the rest is republished by a later run.
    """
    if secrets.get("redis-url") is None or not _checks.claim():
        return
    # A relay is ready to serve without Redis' client, see test_cold_start.
    from leadline.workqueue.queue import work_queue  # noqa: PLC0415

    try:
        while users := work_queue().users_to_republish(USERS_BATCH):
            make_due(users)
            work_queue().drop_republication_requests(users)
            log.info("republishing after a loss of Redis' memory", users=len(users))
    except (QueueError, BadConfiguration) as error:
        log.warning("users to republish unknown", error=type(error).__name__)
        _checks.reschedule(RETRY_S)
