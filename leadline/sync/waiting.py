"""Events that need no sending again, as they only wait for their turn."""

from collections.abc import Sequence

import structlog

from leadline.runtime import secrets
from leadline.runtime.errors import QueueDown
from leadline.users.store import Event

log = structlog.get_logger()


def of(events: Sequence[Event]) -> set[str]:
    """The ids of those that wait in the work queue; none where nobody can say.

    So it is too where the work queue is none of ours: without an address of Redis.
    """
    if not events or secrets.read("redis-url") is None:
        return set()
    # Ticks that find nothing unanswered need no Redis, which takes its time to import.
    from leadline.sync.queue import work_queue  # noqa: PLC0415

    try:
        held = work_queue().holds([(event.user.id, event.id) for event in events])
    except QueueDown:
        log.warning("Redis can't be asked what waits, all that is unanswered is sent again")
        return set()
    return {event.id for event, is_held in zip(events, held, strict=True) if is_held}
