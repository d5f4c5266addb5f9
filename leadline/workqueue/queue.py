"""The work queue by user, in Redis: put, lease, settle.

It works like a Kubernetes controller's work queue. A user is queued once, however many events are
pending; is leased to one worker at a time, with an expiry and a fencing token; and is due again
after a delay when a call failed. Each step is one Lua script, hence atomic.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import redis
import structlog

from leadline.bitrix24.command import CALL_MARGIN_S
from leadline.process import per_process
from leadline.runtime import clock, lua
from leadline.runtime.redis import client, reachable
from leadline.runtime.telemetry import metrics
from leadline.settings import settings
from leadline.workqueue.batch_leader import BatchLeader
from leadline.workqueue.enqueue_request import EnqueueRequest, PutResult
from leadline.workqueue.entries.entry import Entry, UnreadableEntry
from leadline.workqueue.entries.settlement import Settlement
from leadline.workqueue.keys import wakeup_keys
from leadline.workqueue.lua import script
from leadline.workqueue.queue_view import RECENT_MS, QueueView
from leadline.workqueue.wakeup import Wakeup

log = structlog.get_logger()

UNREADABLE = metrics.Counter(
    "leadline_entries_unreadable_total", "Users set aside because their entry could not be parsed"
)

#: A lease lasts the request limit and this margin: longer than any call, so that a worker that
#: leases the user after an expiry sees all effects of the lost call. Short enough for the users of
#: a killed worker to continue within 90 s, as docs promise.
LEASE_MARGIN_S = CALL_MARGIN_S + 10
#: A worker with a lease older than this (it was frozen, or waited for Redis) must not send.
SEND_WITHIN_S = 5.0
#: How long Redis keeps an entry without pending events.
IDLE_TTL_S = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class LeasedBatch:
    """The users leased for one call."""

    entries: list[Entry]
    #: How many leases had expired: their workers died or hang.
    expired: int
    #: Redis' clock.
    now_ms: int
    #: Last moment (`runtime.clock`) for a call to begin, so that it ends before the lease does.
    send_until: float


class WorkQueue(QueueView):
    """One portal's work queue."""

    def __init__(
        self, connection: redis.Redis, portal: str, *, request_limit_s: float = 60
    ) -> None:
        super().__init__(connection, portal)
        #: Longest duration of a call.
        self.call_ms = int((request_limit_s + CALL_MARGIN_S) * 1000)
        self.lease_ms = int((request_limit_s + LEASE_MARGIN_S) * 1000)
        self._epoch = f"{self.prefix}memory"
        self._republish = f"{self.prefix}republish"
        self.wakeup = Wakeup(connection, self.prefix)
        self.batch_leader = BatchLeader(connection, self.prefix)
        self._put = script(connection, "entry", "wakeups", "put")
        self._lease = script(connection, "entry", "wakeups", "lease")
        self._settle = script(connection, "settle")
        self._read_republish = script(connection, "read_republish")
        self._ensure_epoch = script(connection, "ensure_epoch")
        self._begin_first_epoch = script(connection, "begin_first_epoch")
        self._claim_leads = script(connection, "claim_leads")
        self._set_aside = script(connection, "entry", "set_aside")

    def put(self, request: EnqueueRequest) -> PutResult:
        """Put one event; as `put_all`."""
        (result,) = self.put_all([request])
        return result

    def put_all(self, requests: Sequence[EnqueueRequest]) -> list[PutResult]:
        """Put events into their users' entries; returns a result for each.

        Raises:
            QueueDown: Redis can't be reached; whether the events were put is unknown.
        """
        keys = [self._due, self._leases, self._epoch, *wakeup_keys(self.prefix), self._republish]
        for request in requests:
            keys += self._entry_keys(request.user_id)
        args = lua.arguments(
            wakeup_ms=self.wakeup.claim_ms,
            call_ms=self.call_ms,
            events=[request.as_arguments() for request in requests],
        )
        with reachable():
            return [PutResult(code) for code in self._put(keys=keys, args=args)]

    def lease(self, limit: int) -> LeasedBatch:
        """Lease up to `limit` due users, the longest due first.

        Raises:
            QueueDown: Redis can't be reached.
        """
        send_until = clock.now_s() + SEND_WITHIN_S
        with reachable():
            expired, users, now_ms, epoch = self._lease(
                keys=[self._due, self._leases, self._epoch, self._recent, self._republish],
                args=lua.arguments(
                    prefix=self.prefix,
                    limit=limit,
                    lease_ms=self.lease_ms,
                    call_ms=self.call_ms,
                    recent_ms=RECENT_MS,
                ),
            )
        entries = []
        for user, entry, events in users:
            try:
                parsed = Entry.loads(user, _pairs(entry), list(_pairs(events).values()), epoch)
            except UnreadableEntry as error:
                self.set_aside(int(user), str(error))
            else:
                entries.append(parsed)
        return LeasedBatch(entries, expired, now_ms, send_until)

    def set_aside(self, user_id: int, reason: str) -> None:
        """Keep an unreadable entry as `unreadable:<user>`; senders republish its events.

        Raises:
            QueueDown: Redis can't be reached.
        """
        entry, _ = self._entry_keys(user_id)
        key = f"{self.prefix}unreadable:{user_id}"
        with reachable():
            self._set_aside(
                keys=[self._due, self._leases, entry, key], args=[user_id, self.call_ms]
            )
        UNREADABLE.inc()
        log.error("entry unreadable, set aside", user_id=user_id, reason=reason, key=key)

    def users_to_republish(self, limit: int) -> list[int]:
        """Users whose open events must be republished before the next call for them.

        Redis has lost its last writes: a pending event may be older than last applied.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return [
                int(user) for user in self._read_republish(keys=[self._republish], args=[limit])
            ]

    def drop_republication_requests(self, users: Sequence[int]) -> None:
        """Forget that these users' events must be republished: the relay is about to do it.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            self._redis.zrem(self._republish, *users)

    def claim_leads(self, claims: Sequence[tuple[int, int]], *, fresh_ms: int) -> list[int | None]:
        """Claim leads; a claim is (id of the user to be linked to the lead, lead id).

        A claim lasts until a call has ended that begins within `fresh_ms`, the time for which the
        lead as read may be used.

        Returns for each claim 0 if it was made, the ms to wait before it can be, or None if another
        user has the lead.

        Raises:
            QueueDown: Redis can't be reached.
        """
        args = lua.arguments(
            users=[str(user) for user, _ in claims],
            call_ms=self.call_ms,
            claim_ms=self.call_ms + fresh_ms,
        )
        keys = [self._epoch, *(f"{self.prefix}claim:{lead_id}" for _, lead_id in claims)]
        with reachable():
            results = self._claim_leads(keys=keys, args=args)
        return [None if result < 0 else int(result) for result in results]

    def ensure_redis_epoch(self) -> int:
        """Begin a new Redis epoch if Redis is empty or has restarted; call it often.

        Returns when the epoch began (unix ms): since then Redis' memory is complete.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return int(self._ensure_epoch(keys=[self._epoch])[1])

    def begin_first_epoch(self) -> bool:
        """Declare that this Redis was just created, so that it can't have lost anything.

        For the process that creates Redis; returns False if Redis is not empty. Without it, an
        empty Redis counts as flushed, and users wait until calls that it may have lost are over.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return bool(self._begin_first_epoch(keys=[self._epoch]))

    def save(self, settlements: Iterable[Settlement]) -> list[bool]:
        """Write the settlements of leased users and keep the leases; False for each lost lease.

        Raises:
            QueueDown: Redis can't be reached.
        """
        return self._settle_all(settlements, release=False)

    def release(self, settlements: Iterable[Settlement]) -> list[bool]:
        """Write the settlements of leased users and end the leases; False for each lost lease.

        Events with an outcome are deleted. A user with events left is due after its delay.

        Raises:
            QueueDown: Redis can't be reached.
        """
        return self._settle_all(settlements, release=True)

    def _settle_all(self, settlements: Iterable[Settlement], *, release: bool) -> list[bool]:
        keys = [self._due, self._leases]
        users = []
        for settlement in settlements:
            keys += self._entry_keys(settlement.entry.user_id)
            users.append(_settle_args(settlement, release=release))
        args = lua.arguments(idle_s=IDLE_TTL_S, users=users)
        with reachable():
            return [bool(is_ours) for is_ours in self._settle(keys=keys, args=args)]


@per_process
def work_queue() -> WorkQueue:
    """The work queue of the portal that the settings name; one per process."""
    return WorkQueue(client(), settings().portal, request_limit_s=settings().request_limit_s)


def _settle_args(settlement: Settlement, *, release: bool) -> dict[str, Any]:
    """The settlement for settle.lua, where an empty text deletes an event or a field."""
    return lua.without_none(
        {
            "user": str(settlement.entry.user_id),
            "fence": settlement.entry.fence,
            "delay_ms": settlement.delay_ms if release else None,
            "fields": {name: _as_text(value) for name, value in settlement.fields.items()},
            "events": {
                event.event_id: "" if release and event.outcome else event.stored().decode()
                for event in (*settlement.events, *settlement.logged)
            },
        }
    )


def _as_text(value: str | bytes | int) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    """A Redis hash as a script returns it: names and values in turn."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
