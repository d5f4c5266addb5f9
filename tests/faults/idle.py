"""Waits until a system without faults has finished all pending work by itself."""

import redis
import requests

from leadline.messages import topology
from leadline.workqueue.queue import WorkQueue
from tests.faults.bench import Bench
from tests.faults.injections import IN_THE_WAY
from tests.servers import eventually

#: Enough for a lost lease, a create that may still run, a repeated reply, a broker's restart.
WITHIN_S = 600
#: How often in a row the system must look idle: a message may be in transit between two places.
LOOKS = 20


def await_idle(bench: Bench, within_s: float = WITHIN_S) -> None:
    """Wait until nothing is open, queued, due or leased and every component works."""
    quiet = 0

    def is_idle() -> bool:
        nonlocal quiet
        quiet = 0 if pending_work(bench) else quiet + 1
        return quiet >= LOOKS

    try:
        eventually(is_idle, within_s, "the system is idle")
    except AssertionError as late:
        raise AssertionError(f"{late}: {pending_work(bench)}") from None


def pending_work(bench: Bench) -> str:
    """The work that is still in progress; empty if the system is idle."""
    try:
        return _pending_work(bench)
    except (*IN_THE_WAY, redis.RedisError, KeyError) as error:
        return f"a server does not answer: {type(error).__name__}"


def _pending_work(bench: Bench) -> str:
    events = "SELECT state, count(*) FROM events WHERE due_at IS NOT NULL GROUP BY state"
    if rows := bench.rows(events):
        return f"events of the relay: { {row['state']: row['count'] for row in rows} }"
    for queue in (topology.REQUESTS, topology.REPLIES):
        if bench.depth(queue):
            return f"{queue} is not empty"
    with bench.redis() as client:
        work = WorkQueue(client, "main")
        if work.next_due_in_s() is not None:
            return f"users wait in Redis: {work.depth()}"
    for system in bench.systems:
        with bench.on_host_of(system):
            health = requests.get(f"{system.url('edge')}/healthz", timeout=60)
        if health.status_code != 200:
            parts = health.json()["parts"].items()
            return f"failing: { {name: part for name, part in parts if part['status'] != 'ok'} }"
    return ""
