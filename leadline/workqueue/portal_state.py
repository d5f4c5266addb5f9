"""What all who deal with this portal share in Redis: its request rate, its state, its workers.

Apart from `portals`, so that whoever only looks needs neither an HTTP client nor the webhook.
"""

from functools import cache

from leadline.bitrix24.crm_mode import CrmMode
from leadline.bitrix24.token_bucket import TokenBucket
from leadline.runtime.redis import client
from leadline.settings import settings
from leadline.workqueue.circuit_breaker import Pause
from leadline.workqueue.queue import work_queue
from leadline.workqueue.reachability import Reach
from leadline.workqueue.worker_heartbeats import Presence


@cache
def token_bucket() -> TokenBucket:
    """The portal's request rate."""
    return TokenBucket(
        client(),
        work_queue().prefix,
        rate_per_s=settings().rate_per_s,
        burst=settings().burst,
    )


@cache
def presence() -> Presence:
    """The portal's workers."""
    return Presence(client(), work_queue().prefix)


@cache
def paused() -> Pause:
    """The portal's pause."""
    return Pause(client(), work_queue().prefix)


@cache
def reach() -> Reach:
    """Whether the portal can be reached."""
    return Reach(client(), work_queue().prefix)


@cache
def crm_mode() -> CrmMode:
    """What is known of the portal's CRM mode."""
    return CrmMode(client(), work_queue().prefix)
