"""The work queue by user, in Redis: put, lease, settle.

It works like a Kubernetes controller's work queue. A user is queued once, however many events are
pending; is leased to one worker at a time, with an expiry and a fencing token; and is due again
after a delay when a call failed. Each step is one Lua script, hence atomic.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import redis
import structlog

from leadline.bitrix24.command import CALL_MARGIN_S
from leadline.runtime import clock
from leadline.runtime.redis import client, reachable
from leadline.runtime.telemetry import metrics
from leadline.settings import settings
from leadline.workqueue.entry import EnqueueRequest, Entry, Settlement, UnreadableEntry
from leadline.workqueue.inspect import RECENT_MS, QueueView
from leadline.workqueue.lua_scripts import script
from leadline.workqueue.wakeups import Wakeups

log = structlog.get_logger()

UNREADABLE = metrics.Counter(
    "leadline_entries_unreadable_total", "Users set aside because their entry could not be parsed"
)

#: Longer than any call: a worker that leases the user after an expiry sees all effects of the lost
#: call. Short enough for the promised 90 s.
LEASE_MARGIN_S = CALL_MARGIN_S + 10
#: A worker whose lease is older than this (it was frozen, or waited for Redis) must not send.
SEND_WITHIN_S = 5.0
IDLE_TTL_S = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class LeasedBatch:
    """The users leased for one call."""

    entries: list[Entry]
    #: How many leases had expired: their workers died or hang.
    expired: int
    #: Users that are due and not leased.
    still_due: int
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
        self.call_ms = int((request_limit_s + CALL_MARGIN_S) * 1000)
        self.lease_ms = int((request_limit_s + LEASE_MARGIN_S) * 1000)
        self._memory = f"{self.prefix}memory"
        self.wakeups = Wakeups(connection, self.prefix)
        self._put = script(connection, "entry", "wakeups", "put")
        self._lease = script(connection, "entry", "wakeups", "lease")
        self._settle = script(connection, "settle")
        self._read_epoch = script(connection, "read_epoch")
        self._begin_first_epoch = script(connection, "begin_first_epoch")
        self._set_aside = script(connection, "entry", "set_aside")

    def put(self, request: EnqueueRequest) -> int | None:
        """Put one event; as `put_all`."""
        (workers,) = self.put_all([request])
        return workers

    def put_all(self, requests: Sequence[EnqueueRequest]) -> list[int | None]:
        """Put events into their users' entries; returns for each how many workers will lease it.

        0: the caller has claimed the wake-up and must enqueue a job. None: not accepted, since it
        was sent before Redis lost its data, which may have held something newer of this user. Its
        sender retries it if it is still open.

        Raises:
            QueueDown: Redis can't be reached; whether the events were put is unknown.
        """
        keys = [self._due, self._leases, self._memory, *self.wakeups.keys]
        args: list[Any] = [self.wakeups.wakeup_ms, self.call_ms]
        for request in requests:
            keys += self._entry_keys(request.user_id)
            args += _put_args(request)
        with reachable():
            workers: list[int] = self._put(keys=keys, args=args)
        return [None if each < 0 else each for each in workers]

    def lease(self, limit: int) -> LeasedBatch:
        """Lease up to `limit` due users, the longest due first.

        Raises:
            QueueDown: Redis can't be reached.
        """
        send_until = clock.now_s() + SEND_WITHIN_S
        with reachable():
            expired, still_due, users, now_ms, epoch = self._lease(
                keys=[self._due, self._leases, self._memory, self._recent],
                args=[self.prefix, limit, self.lease_ms, self.call_ms, RECENT_MS],
            )
        entries = []
        for user, entry, events in users:
            try:
                parsed = Entry.loads(user, _pairs(entry), list(_pairs(events).values()), epoch)
            except UnreadableEntry as error:
                self.set_aside(int(user), str(error))
            else:
                entries.append(parsed)
        return LeasedBatch(entries, expired, still_due, now_ms, send_until)

    def set_aside(self, user_id: int, reason: str) -> None:
        """Keep an unreadable entry as `unreadable:<user>`; senders retry its events.

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

    def ensure_redis_epoch(self) -> int:
        """Begin a new Redis epoch if Redis is empty or has restarted; call it often.

        Returns when the epoch began (unix ms): since then Redis' memory is whole.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return int(self._read_epoch(keys=[self._memory])[1])

    def begin_first_epoch(self) -> bool:
        """Declare that this Redis was just created, so that it can't have lost anything.

        For the process that creates it; returns False if Redis is not empty. Without this, an empty
        Redis may have been flushed, and users wait until calls that it may have lost are over.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return bool(self._begin_first_epoch(keys=[self._memory]))

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
        args: list[Any] = [IDLE_TTL_S]
        for one in settlements:
            keys += self._entry_keys(one.entry.user_id)
            args += _settle_args(one, release=release)
        with reachable():
            return [bool(is_ours) for is_ours in self._settle(keys=keys, args=args)]


@cache
def work_queue() -> WorkQueue:
    """The work queue of the portal that the settings name; one per process."""
    return WorkQueue(client(), settings().portal, request_limit_s=settings().request_limit_s)


def _put_args(request: EnqueueRequest) -> list[Any]:
    event = request.event
    touches = {True: "1", False: "0", None: "?"}[request.touches_stage]
    return [
        request.user_id,
        event.event_id,
        event.dumps(),
        request.state,
        event.version or "",
        touches,
        "1" if request.is_first else "0",
        request.occurred_at_ms or "",
        request.lead_id or "",
        "1" if request.is_lookup_requested else "0",
        request.stage_version or "",
        request.sent_at_ms or "",
        event.history or "",
        request.originator or "",
        request.stage_set or "",
    ]


def _settle_args(one: Settlement, *, release: bool) -> list[Any]:
    args: list[Any] = [one.entry.user_id, one.entry.fence, one.delay_ms if release else ""]
    args += [len(one.fields), len(one.events)]
    for name, text in one.fields.items():
        args += [name, text]
    for event in one.events:
        args += [event.event_id, "" if release and event.outcome else event.stored()]
    return args


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
