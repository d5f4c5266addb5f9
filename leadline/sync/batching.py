"""Leases users for the next call: one batch leader at a time fills a batch and waits for its token.

Meanwhile the other workers are idle or in their own calls, and no job is enqueued for new events.
So a batch is as full as possible by the time it may be sent, and no token is spent on a half-empty
batch while there is work.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from leadline.sync import metrics, portal_session
from leadline.workqueue.queue import LeasedBatch, WorkQueue
from leadline.workqueue.queue_view import RECENT_MS

log = structlog.get_logger()

#: Linger: how long a batch that is not full waits for more users, if several are due or were leased
#: just before. A single user waits only for its token. The leader must poll: any process may put
#: users into Redis.
LINGER_S = RECENT_MS / 1000
#: Shortest polling interval.
_MIN_POLL_S = 0.02
#: A batch leader that was killed blocks the others for no longer than this.
LEADERSHIP_MS = 10_000


@contextmanager
def lead_batch(queue: WorkQueue) -> Iterator[str | None]:
    """Lead the next batch: yields the leader's name; None if another one leads or no user is due.

    Raises:
        QueueDown: Redis can't be reached.
    """
    name = secrets.token_hex(8)
    is_leader = queue.batch_leader.claim(name, LEADERSHIP_MS)
    try:
        yield name if is_leader else None
    finally:
        if is_leader:
            queue.batch_leader.resign(name)


def lease_batch(queue: WorkQueue, leader: str) -> LeasedBatch:
    """Wait for users and for a token, then lease the users; none if all of them must wait.

    For the batch leader, whose name is `leader`.

    Raises:
        QueueDown: Redis can't be reached.
    """
    limit = portal_session.operating_budget().batch_size()
    _linger(queue, limit)
    wait_s = portal_session.token_bucket().reserve()
    if wait_s:
        queue.batch_leader.extend(leader, LEADERSHIP_MS + int(wait_s * 1000))
        metrics.TOKEN_WAIT.inc(by=wait_s)
        time.sleep(wait_s)
    leased = queue.lease(limit)
    if leased.expired:
        metrics.LEASES_EXPIRED.inc(by=leased.expired)
        log.warning("leases expired: their users are due again", stalled=leased.expired)
    if not leased.entries:
        portal_session.token_bucket().give_back()
    return leased


def _linger(queue: WorkQueue, limit: int) -> None:
    """Wait until the batch is full, at most LINGER_S; return at once for a single user."""
    started_at = time.monotonic()
    while True:
        waited_s = time.monotonic() - started_at
        depth = queue.depth()
        is_single = depth.due <= 1 and not depth.is_busy
        if is_single or depth.due >= limit or waited_s >= LINGER_S:
            return
        time.sleep(max(_MIN_POLL_S, (LINGER_S - waited_s) / 2))
