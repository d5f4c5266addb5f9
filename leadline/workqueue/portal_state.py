"""The portal's state that all processes share in Redis: rate, circuit breaker, heartbeats, mode.

Apart from `sync.portal_session`, so that monitoring needs neither an HTTP client nor the webhook.
"""

from functools import cache

from leadline.bitrix24.crm_mode import CrmMode
from leadline.bitrix24.token_bucket import TokenBucket
from leadline.runtime.redis import client
from leadline.settings import settings
from leadline.workqueue.circuit_breaker import CircuitBreaker
from leadline.workqueue.queue import work_queue
from leadline.workqueue.reachability import Reachability
from leadline.workqueue.worker_heartbeats import WorkerHeartbeats


@cache
def token_bucket() -> TokenBucket:
    """The portal's token bucket."""
    return TokenBucket(
        client(),
        work_queue().prefix,
        rate_per_s=settings().rate_per_s,
        burst=settings().burst,
    )


@cache
def worker_heartbeats() -> WorkerHeartbeats:
    """The heartbeats of the portal's workers."""
    return WorkerHeartbeats(client(), work_queue().prefix)


@cache
def circuit_breaker() -> CircuitBreaker:
    """The portal's circuit breaker."""
    return CircuitBreaker(client(), work_queue().prefix)


@cache
def reachability() -> Reachability:
    """Whether the portal could be reached lately."""
    return Reachability(client(), work_queue().prefix)


@cache
def crm_mode() -> CrmMode:
    """The portal's CRM mode, as last read."""
    return CrmMode(client(), work_queue().prefix)
