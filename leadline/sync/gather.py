"""Who is in the next call: one worker at a time fills a batch and waits for its token.

Meanwhile the others are free or at their own calls. So a batch is as full as it can be at the
moment when it may be sent, and no token is spent on a half empty one while there is work.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from leadline.runtime.redis import client
from leadline.sync import metrics, portals
from leadline.sync.queue import Leased, WorkQueue

log = structlog.get_logger()

#: How long a batch that is not full may wait for more users while other calls are under way.
#: An idle system has no call under way and a full bucket, so a single user waits for nothing.
FILL_S = 0.25
#: How long it may wait when the bucket is empty; less when it is fuller. Tokens that are saved
#: meanwhile are not lost, so waiting costs no throughput.
SCARCE_FILL_S = 1.0
_LOOK_S = 0.02
#: A gatherer that was killed blocks the others no longer than this.
GATHER_MS = 10_000

_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


def gather(queue: WorkQueue) -> Leased | None:
    """Lease the users of the next call; None where another worker is gathering, or nobody is due.

    Raises:
        QueueDown: Redis can't be reached.
    """
    with _alone(queue) as is_alone:
        if not is_alone:
            return None
        limit = portals.budget().batch_size()
        _fill(queue, limit)
        wait_s = portals.token_bucket().reserve()
        if wait_s:
            client().pexpire(_key(queue), GATHER_MS + int(wait_s * 1000))
            metrics.TOKEN_WAIT.inc(by=wait_s)
            time.sleep(wait_s)
        leased = queue.lease(limit)
    if leased.expired:
        metrics.STALLED.inc(by=leased.expired)
        log.warning("leases expired, their users are taken up again", stalled=leased.expired)
    if not leased.entries:
        portals.token_bucket().give_back()
        return None
    return leased


def _fill(queue: WorkQueue, limit: int) -> None:
    """Wait until the batch is full, or as long as waiting is free."""
    began = time.monotonic()
    scarce_s = SCARCE_FILL_S * (1 - portals.token_bucket().level())
    while True:
        waited_s, depth = time.monotonic() - began, queue.depth()
        may_wait_s = max(scarce_s, FILL_S) if depth.leased else scarce_s
        if depth.due >= limit or waited_s >= may_wait_s:
            return
        time.sleep(_LOOK_S)


@contextmanager
def _alone(queue: WorkQueue) -> Iterator[bool]:
    mine = secrets.token_hex(8)
    is_mine = bool(client().set(_key(queue), mine, nx=True, px=GATHER_MS))
    try:
        yield is_mine
    finally:
        if is_mine:
            client().eval(_RELEASE, 1, _key(queue), mine)


def _key(queue: WorkQueue) -> str:
    return f"{queue.prefix}gatherer"
