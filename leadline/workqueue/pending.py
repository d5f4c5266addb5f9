"""Events that need no sending again, as they only wait for their turn."""

from collections.abc import Sequence
from itertools import compress

import structlog

from leadline.errors import BadConfiguration, QueueDown
from leadline.runtime import secrets

log = structlog.get_logger()

#: A work queue whose workers have been silent for longer may be one that everybody has left.
TRUSTED_S = 300.0


class PendingEvents:
    """What waits in the work queue, for one run of the relay.

    Nothing is taken to wait where nobody can say: Redis does not answer as it should, no worker
    serves this queue, or there is no address of Redis, as the work queue is none of ours.
    """

    def __init__(self) -> None:
        self._can_say = secrets.get("redis-url") is not None

    def pending_among(self, events: Sequence[tuple[int, str]]) -> set[str]:
        """Those of these (user, event) that will be answered without being sent again."""
        if not events or not self._can_say:
            return set()
        # Ticks that find nothing unanswered need no Redis, which takes its time to import.
        import redis  # noqa: PLC0415

        from leadline.workqueue.portal_state import worker_heartbeats  # noqa: PLC0415
        from leadline.workqueue.queue import work_queue  # noqa: PLC0415

        try:
            silence_s = worker_heartbeats().silence_s()
            if silence_s is not None and silence_s <= TRUSTED_S:
                held = work_queue().are_pending(events)
                return {event_id for _, event_id in compress(events, held)}
            log.warning("no worker serves the work queue, all that is unanswered is sent again")
        except (QueueDown, BadConfiguration, redis.RedisError) as error:
            kind = type(error).__name__
            log.warning("Redis can't say what waits, it is sent again", error=kind)
        self._can_say = False  # nor later in this run: it may have cost a time-out
        return set()
