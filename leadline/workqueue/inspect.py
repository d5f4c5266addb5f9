"""What is in the work queue, for those who only look."""

from collections.abc import Sequence
from dataclasses import dataclass

import redis

from leadline.runtime.redis import reachable
from leadline.workqueue.entry import PendingEvent
from leadline.workqueue.keys import prefix
from leadline.workqueue.lua_scripts import script

#: How long users count as leased just now.
RECENT_MS = 250


@dataclass(frozen=True, slots=True)
class Depth:
    """How much there is to do."""

    #: Users that are due, those of expired leases among them.
    due: int
    #: Users in the hands of a worker.
    leased: int
    #: Seconds until the next user is due or lease expires; None where nobody else waits.
    next_in_s: float | None
    #: A batch has gone less than `RECENT_MS` ago.
    is_busy: bool


class QueueView:
    """One portal's work queue, of which nothing is changed."""

    def __init__(self, connection: redis.Redis, portal: str) -> None:
        self._redis = connection
        self.prefix = prefix(portal)
        self._due = f"{self.prefix}due"
        self._leases = f"{self.prefix}leases"
        self._recent = f"{self.prefix}recent"
        self._depth = script(connection, "wakeups", "depth")

    def depth(self) -> Depth:
        """How many users are due now, and how many are leased.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            due, leased, next_ms, is_busy = self._depth(
                keys=[self._due, self._leases, self._recent]
            )
        return Depth(due, leased, None if next_ms < 0 else next_ms / 1000, bool(is_busy))

    def pending_events(self, user_id: int) -> tuple[list[PendingEvent], int | None]:
        """A user's events that are still to be answered, and when (unix ms) they are served next.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hvals(self._entry_keys(user_id)[1])
            pipe.zscore(self._due, str(user_id))
            events, due_ms = pipe.execute()
        return [PendingEvent.loads(event) for event in events], None if due_ms is None else int(
            due_ms
        )

    def are_pending(self, events: Sequence[tuple[int, str]]) -> list[bool]:
        """Which of these (user, event) will be answered without being put again.

        Raises:
            QueueDown: Redis can't be reached.
        """
        users = [str(user) for user, _ in events]
        with reachable(), self._redis.pipeline(transaction=False) as pipe:
            for user, event_id in events:
                entry, owed = self._entry_keys(user)
                pipe.hexists(owed, event_id)
                pipe.hexists(entry, "state")  # without it an event can't be served
            pipe.zmscore(self._due, users)
            pipe.zmscore(self._leases, users)
            *known, due, leased = pipe.execute()
        # Who changes hands meanwhile may seem to be in none: put again, that does no harm.
        return [
            bool(is_owed and has_state) and (due_at is not None or lease is not None)
            for is_owed, has_state, due_at, lease in zip(
                known[::2], known[1::2], due, leased, strict=True
            )
        ]

    def next_due_in_s(self) -> float | None:
        """Seconds until a user is due or a lease expires; None where nothing waits.

        Raises:
            QueueDown: Redis can't be reached.
        """
        depth = self.depth()
        return 0.0 if depth.due else depth.next_in_s

    def _entry_keys(self, user_id: int) -> list[str]:
        return [f"{self.prefix}user:{user_id}", f"{self.prefix}user:{user_id}:events"]
