"""Events that the relay need not send: they are pending in the work queue."""

from collections.abc import Sequence
from itertools import compress

import structlog

from leadline.errors import BadConfiguration, QueueError
from leadline.runtime import secrets

log = structlog.get_logger()

#: A work queue whose workers have been silent for longer may be abandoned.
MAX_WORKER_SILENCE_S = 300.0


class PendingEvents:
    """What is pending in the work queue, for one run of the relay.

    Nothing counts as pending if that can't be determined: Redis fails, no worker serves the work
    queue, or there is no `redis-url` because another program consumes `bitrix_queue`.
    """

    def __init__(self) -> None:
        self._redis_is_usable = secrets.get("redis-url") is not None

    def pending_among(self, events: Sequence[tuple[int, str]]) -> set[str]:
        """The ids of those (user id, event id) that will be answered without being republished."""
        if not events or not self._redis_is_usable:
            return set()
        # A tick that finds nothing unanswered needs no Redis, whose import is slow.
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
        self._redis_is_usable = False  # don't try again in this run: each try may cost a time-out
        return set()
