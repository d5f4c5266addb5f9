"""The portal's state that all processes share in Redis: limits, circuit, heartbeats, mode.

Separate from `sync.portal_session`: monitoring needs neither an HTTP client nor the webhook.
"""

from leadline.bitrix24.crm_mode import CrmMode
from leadline.bitrix24.operating_budget import OperatingBudget
from leadline.bitrix24.quiet_import import QuietImport
from leadline.bitrix24.token_bucket import TokenBucket
from leadline.process import per_process
from leadline.runtime.redis import client
from leadline.settings import settings
from leadline.workqueue.circuit_breaker import CircuitBreaker
from leadline.workqueue.queue import work_queue
from leadline.workqueue.reachability import Reachability
from leadline.workqueue.worker_heartbeats import WorkerHeartbeats


@per_process
def token_bucket() -> TokenBucket:
    """The portal's token bucket."""
    return TokenBucket(
        client(),
        work_queue().prefix,
        rate_per_s=settings().rate_per_s,
        burst=settings().burst,
    )


@per_process
def operating_budget() -> OperatingBudget:
    """The portal's operating budget."""
    return OperatingBudget(
        client(),
        work_queue().prefix,
        limit_s=settings().operating_limit_s,
        lease_s=work_queue().lease_ms / 1000,
        request_limit_s=settings().request_limit_s,
    )


@per_process
def worker_heartbeats() -> WorkerHeartbeats:
    """The heartbeats of the portal's workers."""
    return WorkerHeartbeats(client(), work_queue().prefix)


@per_process
def circuit_breaker() -> CircuitBreaker:
    """The portal's circuit breaker."""
    return CircuitBreaker(client(), work_queue().prefix)


@per_process
def reachability() -> Reachability:
    """Whether the last requests reached the portal."""
    return Reachability(client(), work_queue().prefix)


@per_process
def quiet_import() -> QuietImport:
    """Whether the portal supports `crm.item.import`."""
    return QuietImport(client(), work_queue().prefix)


@per_process
def crm_mode() -> CrmMode:
    """The portal's CRM mode, as last read."""
    return CrmMode(client(), work_queue().prefix)
