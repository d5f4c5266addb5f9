"""Every client of Redis reports an unreachable Redis as QueueDown."""

from collections import Counter
from collections.abc import Callable

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from leadline.bitrix24.crm_mode import CrmMode
from leadline.bitrix24.operating_budget import OperatingBudget, Reservation
from leadline.bitrix24.token_bucket import TokenBucket
from leadline.errors import PortalDown, QueueDown, Unavailable
from leadline.workqueue.circuit_breaker import CircuitBreaker
from leadline.workqueue.reachability import Reachability
from leadline.workqueue.worker_heartbeats import WorkerHeartbeats

_ERROR = PortalDown("the portal is closed", code="PORTAL_DELETED")
_CALLS: dict[str, Callable[[redis.Redis], object]] = {
    "bucket reserve": lambda client: _bucket(client).reserve(),
    "bucket level": lambda client: _bucket(client).level(),
    "bucket history": lambda client: _bucket(client).requests_per_slot(),
    "bucket give back": lambda client: _bucket(client).give_back(),
    "bucket drain": lambda client: _bucket(client).drain(),
    "budget batch size": lambda client: _budget(client).batch_size(),
    "budget reserve": lambda client: _budget(client).reserve(Counter({"crm.item.add": 1})),
    "budget used": lambda client: _budget(client).usage(["crm.item.add"]),
    "budget record": lambda client: _budget(client).record(Reservation(), {}, 1.0),
    "mode answered": lambda client: CrmMode(client, "p:").record_answer(),
    "mode postponed": lambda client: CrmMode(client, "p:").postpone_check(),
    "mode required": lambda client: CrmMode(client, "p:").require_check(),
    "mode needed": lambda client: CrmMode(client, "p:").needs_check(),
    "mode claimed": lambda client: CrmMode(client, "p:").claim_check(),
    "circuit read": lambda client: CircuitBreaker(client, "p:").restore_and_read(),
    "circuit open": lambda client: CircuitBreaker(client, "p:").open(_ERROR),
    "circuit close": lambda client: CircuitBreaker(client, "p:").close(),
    "circuit hold": lambda client: CircuitBreaker(client, "p:").hold("maintenance"),
    "circuit restore": lambda client: CircuitBreaker(client, "p:").restore_hold(1.0, "x"),
    "circuit resume": lambda client: CircuitBreaker(client, "p:").resume(),
    "circuit probe": lambda client: CircuitBreaker(client, "p:").claim_probe(),
    "reachability read": lambda client: Reachability(client, "p:").outage(),
    "reachability failure": lambda client: Reachability(client, "p:").record_failure(
        Unavailable("no connection")
    ),
    "reachability answer": lambda client: Reachability(client, "p:").record_answer(),
    "heartbeat": lambda client: WorkerHeartbeats(client, "p:").beat("worker"),
    "silence": lambda client: WorkerHeartbeats(client, "p:").silence_s(),
}


@pytest.mark.parametrize("name", _CALLS)
def test_an_unreachable_redis_raises_queue_down(name: str) -> None:
    nothing_listens = redis.Redis(
        unix_socket_path="/nonexistent/redis.sock", retry=Retry(NoBackoff(), 0)
    )
    with pytest.raises(QueueDown):
        _CALLS[name](nothing_listens)


def _bucket(client: redis.Redis) -> TokenBucket:
    return TokenBucket(client, "p:", rate_per_s=2, burst=50)


def _budget(client: redis.Redis) -> OperatingBudget:
    return OperatingBudget(client, "p:", limit_s=480, lease_s=80)
