"""Health checks, one for each kind of part: each returns if the part works, and raises if not."""

import time

import aiohttp
import pika
import redis

from leadline.bitrix24.crm_mode import SIMPLE_MODE
from leadline.runtime.postgres.cluster import Cluster
from leadline.runtime.rabbitmq.connection import parameters
from leadline.runtime.redis import connect
from leadline.settings import settings
from leadline.workqueue.circuit_breaker import CircuitBreaker
from leadline.workqueue.keys import prefix
from leadline.workqueue.outage import Outage
from leadline.workqueue.reachability import KINDS, NO_ANSWER, Reachability
from leadline.workqueue.worker_heartbeats import SILENT_S, WorkerHeartbeats
from local.gateway.config import Relay

#: Time-outs of a whole check, and of each wait in it.
TIMEOUT_S = 1.5
_STEP_TIMEOUT_S = 1.2
_RELAY_MARGIN_S = 5


class CheckFailed(Exception):
    """The part answers but does not work; the text says why, without secrets."""


async def check_http(session: aiohttp.ClientSession, url: str) -> None:
    """Check that a GET gets a 200."""
    async with session.get(url, allow_redirects=False) as answer:
        if answer.status != 200:
            raise CheckFailed(f"status {answer.status}")


def check_postgres(url: str) -> None:
    """Check that Postgres answers, by SELECT 1 on its own connection."""
    session = Cluster(url).connect(cooperative=False, timeout_s=_STEP_TIMEOUT_S)
    try:
        session.run("SELECT 1", {})
    finally:
        session.close()


def check_rabbitmq(url: str) -> None:
    """Check that a client can log in and open a channel."""
    nodes = parameters(url)
    for node in nodes:
        node.socket_timeout = node.stack_timeout = _STEP_TIMEOUT_S
        node.blocked_connection_timeout = _STEP_TIMEOUT_S
    connection = pika.BlockingConnection(nodes)
    connection.channel()
    connection.close()


def check_redis(url: str) -> None:
    """Check that Redis answers and is a master: a replica would reject every write."""
    with _redis(url) as client:
        if client.info("replication")["role"] != "master":
            raise CheckFailed("it is a read-only replica")


def check_workers(url: str) -> None:
    """Check that at least one worker has sent a recent heartbeat."""
    with _redis(url) as client:
        silence_s = WorkerHeartbeats(client, prefix(settings().portal)).silence_s()
    if silence_s is None:
        raise CheckFailed("no worker has reported")
    if silence_s > SILENT_S:
        raise CheckFailed(f"no worker has reported for {silence_s:.0f} s")


def check_portal(url: str) -> None:
    """Check that calls are made and answered. The error is public: it quotes nothing received."""
    key = prefix(settings().portal)
    with _redis(url) as client:
        pause = CircuitBreaker(client, key).restore_and_read()
        unreachable = Reachability(client, key).outage()
    if pause is not None:
        raise CheckFailed(f"paused for {pause.lasts_s:.0f} s: {_cause(pause)}")
    if unreachable is not None:
        kind = unreachable.code if unreachable.code in KINDS else NO_ANSWER
        raise CheckFailed(f"unreachable for {unreachable.lasts_s:.0f} s: {kind}")


def _cause(pause: Outage) -> str:
    if pause.is_manual_hold:
        return "by an operator"
    if pause.code == SIMPLE_MODE:
        return "simple CRM mode"
    return "Bitrix24 rejects all calls"


def check_relay(relay: Relay) -> None:
    """Check that the schedule has ticked recently."""
    try:
        silence_s = time.time() - relay.tick.stat().st_mtime
    except FileNotFoundError:
        raise CheckFailed("no tick yet") from None
    # A tick may wait for a slow function: the relay is late only if several are missing.
    if silence_s > 3 * relay.every_s + _RELAY_MARGIN_S:
        raise CheckFailed(f"no tick for {silence_s:.0f} s")


def _redis(url: str) -> redis.Redis:
    return connect(url, failover_s=0, timeout_s=_STEP_TIMEOUT_S)
