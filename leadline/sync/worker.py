"""An RQ worker: `python -m leadline.sync.worker`. Run as many as calls shall be in flight.

It runs jobs in its own process (RQ's SimpleWorker), so that the connections to Bitrix24, RabbitMQ
and Redis are kept between jobs. Beside it an alarm wakes jobs for users whose time has come.
"""

import os
import threading
import time
from secrets import token_hex
from typing import Any

import redis
import structlog
from rq import SimpleWorker
from rq.serializers import JSONSerializer
from rq.utils import now as rq_now

from leadline.bitrix24.webhook import Webhook
from leadline.errors import BadConfiguration, QueueDown
from leadline.runtime import secrets
from leadline.runtime.redis import connect
from leadline.runtime.serving.health import Heartbeat, serve_probes
from leadline.runtime.telemetry import log, tracing
from leadline.sync import job as _preloaded  # noqa: F401 - the first job shall not wait for it
from leadline.sync import metrics, portal_session
from leadline.workqueue import rq_jobs
from leadline.workqueue.call_job import CallJob, is_unreadable, refuse
from leadline.workqueue.keys import JOBS
from leadline.workqueue.queue import work_queue

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
#: A worker that Redis has taken no report from for longer is not ready.
SILENT_S = 10.0
#: How long RQ repeats what a replica refuses, and how long it waits between attempts to connect: in
#: the middle of a job it would end the worker, and without a connection wait for up to a minute.
RQ_FAILOVER_S = 15.0
RQ_RECONNECT_S = 2.0


class Worker(SimpleWorker):
    """RQ's, which runs jobs in its own process, with less patience for a Redis that is away, and
    none of whose loops ends by what somebody else has put into Redis.
    """

    max_connection_wait_time = RQ_RECONNECT_S

    def dequeue_job_and_maintain_ttl(self, *args: Any, **options: Any) -> Any:
        """As RQ; a name in the queue that is no text is passed over."""
        while True:
            try:
                return super().dequeue_job_and_maintain_ttl(*args, **options)
            except UnicodeDecodeError:
                refuse()

    def run_maintenance_tasks(self) -> None:
        """As RQ; what can't be cleaned up is looked at again at the next time."""
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        except Exception as error:
            if not is_unreadable(error):
                raise
            logger.exception("RQ's registries can't be read")
            self.last_cleaned_at = rq_now()  # type: ignore[assignment]

    def procline(self, message: str) -> None:
        """Keep the process's own title.

        RQ sets another one where setproctitle is there, over its arguments and its environment, by
        which the local run finds what an earlier one left.
        """


class WebhookWatch:
    """Whether the secret is a webhook's address; its file may be replaced at any time."""

    def __init__(self) -> None:
        self._trouble: str | None = None

    def check(self) -> bool:
        """Whether it is now; logs once why it is not, and once that it is again."""
        trouble = None
        try:
            Webhook.parse(secrets.require("bitrix-webhook-url"))
        except BadConfiguration as error:
            trouble = error.detail
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble:
                logger.error("no calls without a webhook", reason=trouble)
            else:
                logger.info("the webhook is usable")
        return trouble is None


def alarm(
    worker: str, stop: threading.Event, pulse: Heartbeat, reported: Heartbeat, webhook: WebhookWatch
) -> None:
    """Wake a job whenever a user is due and nobody will look at it, until told to stop.

    It also says each time that this worker lives. Waking makes retries punctual, and repairs a
    wake-up or a job that was lost. `reported` beats with each report that Redis has taken. Without
    a webhook it does none of that, so that the worker is seen to be missing.
    """
    while not stop.is_set():
        pulse.beat()
        wait_s = ALARM_S
        if not webhook.check():
            stop.wait(wait_s)
            continue
        try:
            portal_session.worker_heartbeats().beat(worker)
            reported.beat()
            work_queue().redis_epoch_began_ms()
            wait_s = min(wait_s, _wake_if_due())
            rq_jobs.trim_history()  # the last, as what it reads may be somebody else's
        except (QueueDown, redis.RedisError):
            logger.warning("alarm can't reach Redis")
        except Exception:  # the edge of the thread: without it no retry is punctual any more
            logger.exception("alarm failed")
        stop.wait(wait_s)


def _wake_if_due() -> float:
    """Wake a job or a probe if one is needed; returns the seconds until the next look."""
    depth, pause = work_queue().depth(), portal_session.circuit_breaker().state()
    metrics.DUE.set(depth.due)
    metrics.set_paused(pause)
    metrics.set_unreachable(portal_session.reachability().state())
    next_in_s = ALARM_S if depth.next_in_s is None else depth.next_in_s
    if not portal_session.check_webhook():
        return ALARM_S
    is_idle = not depth.due and not depth.leased and depth.next_in_s is None
    if portal_session.claim_probe(pause, is_idle=is_idle):
        portal_session.request_probe()
        rq_jobs.enqueue(at_front=True)
    if not depth.due or pause is not None:
        return next_in_s
    rq_jobs.wake()
    return max(AFTER_WAKE_S, next_in_s)


def main() -> None:
    """Work until SIGTERM; the job under way is finished first."""
    log.configure("worker")
    tracing.is_enabled()  # what can't be traced does not start
    connection = connect(secrets.url_source("redis-url"), failover_s=RQ_FAILOVER_S)
    pulse, reported = Heartbeat(ALARM_PATIENCE_S), Heartbeat(SILENT_S, has_begun=False)
    if "PORT" in os.environ:
        serve_probes(is_alive=pulse.is_recent, is_ready=reported.is_recent)
    # A name that no worker had before: RQ refuses one that it still believes alive.
    name = f"{JOBS}-{os.uname().nodename}-{os.getpid()}-{token_hex(3)}"
    webhook = WebhookWatch()
    _wait_for_webhook(webhook, pulse)
    _wait_for_redis(name, pulse)
    stop = threading.Event()
    threading.Thread(
        target=alarm, args=[name, stop, pulse, reported, webhook], name="alarm", daemon=True
    ).start()
    worker = Worker(
        [JOBS],
        name=name,
        connection=connection,
        serializer=JSONSerializer,
        job_class=CallJob,
        worker_ttl=WORKER_TTL_S,
        maintenance_interval=MAINTENANCE_S,
        log_job_description=False,
    )
    logger.info("worker starts")
    worker.work(logging_level="CRITICAL")  # RQ would set its own level, see telemetry/log.py
    stop.set()
    logger.info("worker stopped")


def _wait_for_webhook(webhook: WebhookWatch, pulse: Heartbeat) -> None:
    """A worker without one would only fail jobs."""
    while not webhook.check():
        pulse.beat()
        time.sleep(1)


def _wait_for_redis(name: str, pulse: Heartbeat) -> None:
    """RQ registers a worker once, at its start: wait until Redis takes what is written."""
    while True:
        pulse.beat()
        try:
            portal_session.worker_heartbeats().beat(name)
        except redis.RedisError:
            logger.warning("waiting for Redis")
            time.sleep(1)
        else:
            return


if __name__ == "__main__":
    main()
