"""One check per kind of part: returns when it works; raises anything when it does not."""

import time

import aiohttp
import pika
import redis

from leadline.bitrix24.crm_mode import SIMPLE_MODE
from leadline.runtime.postgres.connection import Session
from leadline.runtime.postgres.dsn import connect_options
from leadline.runtime.rabbitmq.connection import parameters
from leadline.runtime.redis import connect
from leadline.settings import settings
from leadline.workqueue.circuit_breaker import CircuitBreaker
from leadline.workqueue.keys import prefix
from leadline.workqueue.outage import Outage
from leadline.workqueue.reachability import KINDS, NO_ANSWER, Reachability
from leadline.workqueue.worker_heartbeats import WorkerHeartbeats
from local.gateway.config import Relay

#: For everything a check does together.
TIMEOUT_S = 1.5
_STEP_S = 1.2
#: Each worker reports every second, also during a call.
_WORKER_SILENCE_S = 10
_RELAY_PATIENCE_S = 5


class Ailing(Exception):
    """The part answers but does not work; the text says why and holds no secret."""


async def responds(session: aiohttp.ClientSession, url: str) -> None:
    """GET answers 200."""
    async with session.get(url, allow_redirects=False) as answer:
        if answer.status != 200:
            raise Ailing(f"status {answer.status}")


def postgres_works(url: str) -> None:
    """SELECT 1 on a connection of its own."""
    session = Session(connect_options(url), cooperative=False, timeout_s=_STEP_S)
    try:
        session.run("SELECT 1", {})
    finally:
        session.close()


def rabbitmq_works(url: str) -> None:
    """A client can log in and open a channel."""
    options = parameters(url)
    options.socket_timeout = options.stack_timeout = _STEP_S
    options.blocked_connection_timeout = _STEP_S
    connection = pika.BlockingConnection(options)
    connection.channel()
    connection.close()


def redis_works(url: str) -> None:
    """It is a master: a replica answers, and refuses every write."""
    with _redis(url) as client:
        if client.info("replication")["role"] != "master":
            raise Ailing("it is a replica, and takes no writes")


def a_worker_works(url: str) -> None:
    """At least one worker has reported lately."""
    with _redis(url) as client:
        silence_s = WorkerHeartbeats(client, prefix(settings().portal)).silence_s()
    if silence_s is None:
        raise Ailing("no worker has reported")
    if silence_s > _WORKER_SILENCE_S:
        raise Ailing(f"no worker has reported for {silence_s:.0f} s")


def portal_serves(url: str) -> None:
    """Calls are made, and get answers. Why not is public, so it quotes nothing that came in."""
    key = prefix(settings().portal)
    with _redis(url) as client:
        pause, unreachable = CircuitBreaker(client, key).state(), Reachability(client, key).state()
    if pause is not None:
        raise Ailing(f"paused for {pause.lasts_s:.0f} s: {_why(pause)}")
    if unreachable is not None:
        kind = unreachable.code if unreachable.code in KINDS else NO_ANSWER
        raise Ailing(f"unreachable for {unreachable.lasts_s:.0f} s: {kind}")


def _why(pause: Outage) -> str:
    if pause.is_held:
        return "by an operator"
    if pause.code == SIMPLE_MODE:
        return "simple CRM mode"
    return "Bitrix24 serves nobody"


def relay_ticks(relay: Relay) -> None:
    """The schedule has ticked lately."""
    try:
        silence_s = time.time() - relay.tick.stat().st_mtime
    except FileNotFoundError:
        raise Ailing("no tick yet") from None
    # A tick may wait for a slow function; a few are enough to call it late.
    if silence_s > 3 * relay.every_s + _RELAY_PATIENCE_S:
        raise Ailing(f"no tick for {silence_s:.0f} s")


def _redis(url: str) -> redis.Redis:
    return connect(url, failover_s=0, timeout_s=_STEP_S)
