"""10,000 users drain at the portal's standard limits while a node of each cluster is gone."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import requests

from leadline.workqueue.circuit_breaker import CircuitBreaker
from leadline.workqueue.queue import WorkQueue
from local.sandbox.waiting import eventually
from tests.clusters.bench import ClusterBench
from tests.clusters.network import inside

#: https://apidocs.bitrix24.com/limits.html: requests a second and burst, commands a request.
RATE_PER_S, BURST, COMMANDS = 2, 50, 50
#: Settings of the bench that the measurement overrides.
ENV = {"LEADLINE_BURST": str(BURST)}
_PORTAL = {"rate_per_s": RATE_PER_S, "burst": BURST, "command_ms": 5, "request_limit_s": 60}
#: Users of a batch; a batch may have 1,000.
_BATCH = 500
#: How long all users may take to be accepted, and one batch to be answered.
_FILL_S, _ANSWER_S = 900, 120
#: The drain is given up after this many times the time that the rate alone needs for all users.
_PATIENCE = 4
_LEFT = "SELECT count(*) AS n FROM events WHERE state = 'open'"
_DONE = """
SELECT count(*) FILTER (WHERE state = 'synced') AS synced, count(*) AS events,
       max(extract(epoch FROM settled_at))::float AS last
FROM events WHERE user_id > :after
"""


@dataclass(frozen=True)
class DrainResult:
    """The time that the users took, and the shortest that the limits allow."""

    users: int
    synced: int
    doubled: int
    took_s: float
    #: When each request arrived at the portal, in seconds since calls were released.
    requests_s: tuple[float, ...]

    @property
    def ideal_s(self) -> float:
        """The shortest time: a full bucket, then the rate, with full requests."""
        return max(0.0, (ceil(self.users / COMMANDS) - BURST) / RATE_PER_S)

    def __str__(self) -> str:
        return (
            f"{self.users:,} users, {self.synced:,} synced, {self.doubled} doubled:"
            f" {self.took_s:.1f} s, ideal {self.ideal_s:.1f} s, {self.ideal_s / self.took_s:.1%};"
            f" {len(self.requests_s)} requests, the first after {self.requests_s[0]:.1f} s, the"
            f" last after {self.requests_s[-1]:.1f} s"
        )


def lose_nodes(bench: ClusterBench) -> Iterator[str]:
    """Kill a node of each cluster: the leader of a queue, a replica of Redis, the standby.

    Yields the name of each killed node. At the end the primary commits without its standby.
    """
    broker = bench.brokers.leader_of("bitrix_queue")
    master = bench.redises.master()
    replica = next(node for node in bench.redises.nodes if node is not master)
    for node in (broker, replica, bench.postgres.standby):
        node.kill()
        yield node.name
    bench.postgres.commit_without_standby()


def measure(bench: ClusterBench, users: int) -> DrainResult:
    """Hold all calls until the users wait and the bucket is full, then measure."""
    bench.control("PUT", "settings", _PORTAL)
    (before,) = bench.rows("SELECT COALESCE(max(id), 0) AS id FROM users")
    with bench.redis() as client:
        queue = WorkQueue(client, "main")
        breaker = CircuitBreaker(client, queue.prefix)
        breaker.hold("all users shall wait")
        for first in range(0, users, _BATCH):
            _create(bench, first, min(_BATCH, users - first))
        eventually(lambda: queue.depth().due >= users, _FILL_S, "all users wait", poll_every_s=1)
        time.sleep(BURST / RATE_PER_S)  # the time in which an empty bucket fills
        began = time.time()
        breaker.resume()
    limit_s = users / COMMANDS / RATE_PER_S * _PATIENCE
    eventually(lambda: bench.rows(_LEFT) == [{"n": 0}], limit_s, "all are answered", poll_every_s=1)
    (done,) = bench.rows(_DONE, after=before["id"])
    doubled = len(bench.control("GET", "duplicates"))
    requests_s = _requests_since(bench, began)
    return DrainResult(
        users=done["events"],  # each user has one event
        synced=done["synced"],
        doubled=doubled,
        took_s=done["last"] - began,
        requests_s=requests_s,
    )


def _requests_since(bench: ClusterBench, began: float) -> tuple[float, ...]:
    lines = map(json.loads, bench.journal.read_text(encoding="utf-8").splitlines())
    return tuple(
        line["at"] - began for line in lines if line["what"] == "arrived" and line["at"] >= began
    )


def _create(bench: ClusterBench, first: int, count: int) -> None:
    """Create a batch of users through the next host; repeats it until it is accepted."""
    hosts = [host.name for host in bench.hosts]
    body: dict[str, Any] = {
        "users": [
            {
                "external_id": f"drain-{first + number}",
                "full_name": f"User {first + number}",
                "phone": f"+7700{first + number:07}",
            }
            for number in range(count)
        ]
    }

    def is_accepted() -> bool:
        with inside(hosts[first // _BATCH % len(hosts)]):
            answer = requests.post(f"{bench.edge}/users/batch", json=body, timeout=_ANSWER_S)
        return answer.ok

    eventually(is_accepted, _FILL_S, "the batch is accepted", poll_every_s=1)
