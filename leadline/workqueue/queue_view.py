"""Read-only view of the work queue."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from leadline.runtime.redis import reachable
from leadline.workqueue.entries.pending_event import PendingEvent
from leadline.workqueue.keys import prefix
from leadline.workqueue.lua import script

#: How long after a lease of several users the queue counts as busy: more users are likely to come.
RECENT_MS = 250
#: Number of ids of erased users read at a time.
ERASED_BATCH = 500


@dataclass(frozen=True, slots=True)
class Depth:
    """The users of the work queue, counted."""

    #: Users that are due, those with expired leases included.
    due: int
    #: Users leased to a worker.
    leased: int
    #: Seconds until the next user is due or the next lease expires; None if there is neither.
    next_in_s: float | None
    #: A batch of several users was leased less than `RECENT_MS` ago.
    is_busy: bool
    #: Users whose next call is due later, after a back-off.
    delayed: int


class QueueView:
    """One portal's work queue; nothing here changes it."""

    def __init__(self, connection: redis.Redis, portal: str) -> None:
        self._redis = connection
        self.prefix = prefix(portal)
        self._due = f"{self.prefix}due"
        self._leases = f"{self.prefix}leases"
        self._recent = f"{self.prefix}recent"
        self._depth = script(connection, "wakeups", "depth")

    def depth(self) -> Depth:
        """Count the users that are due, leased and delayed.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            due, leased, next_ms, is_busy, delayed = self._depth(
                keys=[self._due, self._leases, self._recent]
            )
        next_in_s = None if next_ms < 0 else next_ms / 1000
        return Depth(due, leased, next_in_s, bool(is_busy), delayed)

    def pending_events(self, user_id: int) -> tuple[list[PendingEvent], int | None]:
        """A user's pending events, and when (unix ms) the user is due; None while leased or idle.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hvals(self._entry_keys(user_id)[1])
            pipe.zscore(self._due, str(user_id))
            events, due_ms = pipe.execute()
        pending = [PendingEvent.loads(event) for event in events]
        return pending, None if due_ms is None else int(due_ms)

    def users_before(self, due_ms: int) -> int:
        """How many users are due before this time (unix ms); those in flight are not counted.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return int(self._redis.zcount(self._due, "-inf", f"({due_ms}"))

    def are_pending(self, events: Sequence[tuple[int, str]]) -> list[bool]:
        """Whether each of these (user id, event id) will be answered without being republished.

        Raises:
            QueueDown: Redis can't be reached.
        """
        users = [str(user) for user, _ in events]
        with reachable(), self._redis.pipeline(transaction=False) as pipe:
            for user, event_id in events:
                entry, events_key = self._entry_keys(user)
                pipe.hexists(events_key, event_id)
                pipe.hexists(entry, "state")  # without it an event can't be applied
            pipe.zmscore(self._due, users)
            pipe.zmscore(self._leases, users)
            *results, due, leased = pipe.execute()
        # A user that is leased or released between the last two reads may seem neither due nor
        # leased: its events are then republished, which is harmless.
        return [
            bool(is_pending and has_state) and (due_at is not None or lease is not None)
            for is_pending, has_state, due_at, lease in zip(
                results[::2], results[1::2], due, leased, strict=True
            )
        ]

    def erased_users(self, originator: str) -> Iterator[list[int]]:
        """The ids of the users of this originator that were ever erased, in batches.

        Raises:
            QueueDown: Redis can't be reached.
        """
        offset = 0
        while True:
            with reachable():
                batch: list[Any] = self._redis.zrange(
                    f"{self.prefix}erased:{originator}", offset, offset + ERASED_BATCH - 1
                )
            if not batch:
                return
            yield [int(user_id) for user_id in batch]
            offset += len(batch)

    def next_due_in_s(self) -> float | None:
        """Seconds until a user is due or a lease expires, 0 if one is due; None if nothing waits.

        Raises:
            QueueDown: Redis can't be reached.
        """
        depth = self.depth()
        return 0.0 if depth.due else depth.next_in_s

    def _entry_keys(self, user_id: int) -> list[str]:
        return [f"{self.prefix}user:{user_id}", f"{self.prefix}user:{user_id}:events"]
