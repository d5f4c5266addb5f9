"""An RQ worker: `python -m leadline.sync.worker`. Run as many as calls shall be in flight.

It runs jobs in its own process (RQ's SimpleWorker), so that the connections to Bitrix24, RabbitMQ
and Redis are kept between jobs. Beside it an alarm wakes jobs for users whose time has come.
"""

import os
import threading
import time
from secrets import token_hex

import redis
import structlog
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from leadline.bitrix24.webhook import Webhook
from leadline.runtime import log, secrets, tracing
from leadline.runtime.errors import BadConfiguration, QueueDown
from leadline.runtime.probes import Pulse, serve_probes
from leadline.runtime.redis import connect
from leadline.sync import driver, metrics, portals
from leadline.sync import jobs as _preloaded  # noqa: F401 - the first job shall not wait for it
from leadline.sync.keys import JOBS
from leadline.sync.queue import work_queue

logger = structlog.get_logger()

#: How long an idle worker waits before it reports that it lives; RQ waits 15 s less.
WORKER_TTL_S = 60
MAINTENANCE_S = 60
#: Longest sleep of the alarm: how late it may notice a user that was put meanwhile.
ALARM_S = 1.0
#: Who becomes due one after the other is looked at together.
AFTER_WAKE_S = 0.25
#: One turn of the alarm may wait for several of Redis's time-outs.
ALARM_PATIENCE_S = 60.0


class GivenWebhook:
    """Whether the secret is a webhook's address; a file of it may be replaced at any time."""

    def __init__(self) -> None:
        #: As it was at the last look.
        self.is_usable = False
        self._trouble: str | None = None

    def look(self) -> bool:
        """Whether it is now; says once why it is not, and once that it is again."""
        trouble = None
        try:
            Webhook.parse(secrets.require("bitrix-webhook-url"))
        except BadConfiguration as error:
            trouble = error.detail
        if trouble and trouble != self._trouble:
            logger.error("no calls without a webhook", reason=trouble)
        elif self._trouble and not trouble:
            logger.info("webhook is usable")
        self._trouble = trouble
        self.is_usable = trouble is None
        return self.is_usable


def alarm(worker: str, stop: threading.Event, pulse: Pulse, webhook: GivenWebhook) -> None:
    """Wake a job whenever a user is due and nobody will look at it, until told to stop.

    It also says each time that this worker lives. Waking makes retries punctual, and repairs a
    wake-up or a job that was lost. Without a webhook it does neither.
    """
    while not stop.is_set():
        pulse.beat()
        wait_s = ALARM_S
        if not webhook.look():
            stop.wait(wait_s)
            continue
        try:
            portals.presence().report(worker)
            work_queue().remembers_since_ms()
            driver.trim_history()
            wait_s = min(wait_s, _look())
        except (QueueDown, redis.RedisError):
            logger.warning("alarm can't reach Redis")
        except Exception:  # the edge of the thread: without it no retry is punctual any more
            logger.exception("alarm failed")
        stop.wait(wait_s)


def _look() -> float:
    """Wake a job if one is needed; returns the seconds until another look is worth it."""
    depth, pause = work_queue().depth(), portals.paused().state()
    metrics.DUE.set(depth.due)
    metrics.tell_pause(pause)
    next_in_s = ALARM_S if depth.next_in_s is None else depth.next_in_s
    if not depth.due:
        return next_in_s
    if pause is not None and (probe_in_s := pause.next_probe_in_s()):
        return probe_in_s
    driver.wake()
    return max(AFTER_WAKE_S, next_in_s)


def main() -> None:
    """Work until SIGTERM; the job under way is finished first."""
    log.configure("worker")
    tracing.is_on()  # what can't be traced does not start
    connection = connect(secrets.address("redis-url"))
    pulse, webhook = Pulse(ALARM_PATIENCE_S), GivenWebhook()
    if "PORT" in os.environ:
        serve_probes(
            is_alive=pulse.is_felt,
            is_ready=lambda: pulse.is_felt() and webhook.is_usable,
        )
    _wait_for(connection, webhook, pulse)
    stop = threading.Event()
    # A name that no worker had before: RQ refuses one that it still believes alive.
    name = f"{JOBS}-{os.uname().nodename}-{os.getpid()}-{token_hex(3)}"
    threading.Thread(
        target=alarm, args=[name, stop, pulse, webhook], name="alarm", daemon=True
    ).start()
    worker = SimpleWorker(
        [JOBS],
        name=name,
        connection=connection,
        serializer=JSONSerializer,
        worker_ttl=WORKER_TTL_S,
        maintenance_interval=MAINTENANCE_S,
        log_job_description=False,
    )
    logger.info("worker starts")
    worker.work(logging_level="CRITICAL")  # RQ would set its own level, see runtime/log.py
    stop.set()
    logger.info("worker stopped")


def _wait_for(connection: redis.Redis, webhook: GivenWebhook, pulse: Pulse) -> None:
    """Take no job without a webhook. And RQ registers a worker once: wait until Redis is there."""
    while not webhook.look() or not _answers(connection):
        pulse.beat()
        time.sleep(1)


def _answers(connection: redis.Redis) -> bool:
    try:
        connection.ping()
    except redis.RedisError:
        logger.warning("waiting for Redis")
        return False
    return True


if __name__ == "__main__":
    main()
