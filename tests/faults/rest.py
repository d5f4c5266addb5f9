"""Coming to rest: no fault is left, and everything that was owed is done, without a hand."""

import redis
import requests

from leadline.messages import topology
from leadline.workqueue.queue import WorkQueue
from tests.faults.bench import Bench
from tests.faults.injections import IN_THE_WAY
from tests.servers import eventually

#: A lease that was lost, a create that may still run, a reply sent again, a broker that restarts.
WITHIN_S = 240
#: So often in a row must it look like rest: something may be on its way between two places.
LOOKS = 20


def come_to_rest(bench: Bench, within_s: float = WITHIN_S) -> None:
    """Wait until nothing is open, queued, due or leased and every part works."""
    quiet = 0

    def is_at_rest() -> bool:
        nonlocal quiet
        quiet = 0 if unrest(bench) else quiet + 1
        return quiet >= LOOKS

    try:
        eventually(is_at_rest, within_s, "the system comes to rest")
    except AssertionError as late:
        raise AssertionError(f"{late}: {unrest(bench)}") from None


def unrest(bench: Bench) -> str:
    """What is still going on; empty at rest."""
    try:
        return _unrest(bench)
    except (*IN_THE_WAY, redis.RedisError, KeyError) as error:
        return f"a server does not answer: {type(error).__name__}"


def _unrest(bench: Bench) -> str:
    owed = "SELECT state, count(*) FROM events WHERE due_at IS NOT NULL GROUP BY state"
    if rows := bench.rows(owed):
        return f"owed: { {row['state']: row['count'] for row in rows} }"
    for queue in (topology.REQUESTS, topology.REPLIES):
        if bench.depth(queue):
            return f"{queue} is not empty"
    with bench.redis() as client:
        work = WorkQueue(client, "main")
        if work.next_due_in_s() is not None:
            return f"users wait in Redis: {work.depth()}"
    health = requests.get(f"{bench.edge}/healthz", timeout=10)
    if health.status_code != 200:
        parts = health.json()["parts"]
        return f"ailing: { {name: one for name, one in parts.items() if one['status'] != 'ok'} }"
    return ""
