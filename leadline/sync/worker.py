"""An RQ worker: `python -m leadline.sync.worker`. Run one per call in flight.

It runs jobs in its own process (RQ's SimpleWorker), so that the connections to Bitrix24, RabbitMQ
and Redis persist between jobs. An alarm thread enqueues jobs for users whose delay is over.
"""

import os
import threading
import time
from secrets import token_hex
from typing import Any

if __name__ == "__main__":  # before the imports that it speeds up
    from leadline.runtime.serving import cold_start

    cold_start.prepare()

import structlog
from rq import SimpleWorker
from rq.serializers import JSONSerializer
from rq.utils import now as rq_now

from leadline.bitrix24.webhook import Webhook
from leadline.errors import BadConfiguration, QueueDefect, QueueDown
from leadline.runtime import secrets
from leadline.runtime.redis import connect
from leadline.runtime.serving import cold_start
from leadline.runtime.serving.health import Heartbeat, serve_probes
from leadline.runtime.telemetry import log, tracing
from leadline.sync import job as _preloaded  # noqa: F401 - so that the first job need not wait for it
from leadline.sync import metrics, portal_session
from leadline.workqueue import rq_jobs
from leadline.workqueue.call_job import CallJob, count_unreadable, is_unreadable
from leadline.workqueue.keys import JOBS
from leadline.workqueue.queue import work_queue
from leadline.workqueue.worker_heartbeats import SILENT_S

logger = structlog.get_logger()

#: How long an idle worker waits before its heartbeat to RQ; RQ waits 15 s less.
WORKER_TTL_S = 60
MAINTENANCE_S = 60
#: Longest sleep of the alarm, hence the longest delay for a user enqueued meanwhile.
ALARM_S = 1.0
#: Shortest sleep after a wake-up, so that users due shortly after each other share one.
AFTER_WAKE_S = 0.25
#: After how long a round of the alarm counts as hung; a round may wait for several Redis time-outs.
ALARM_PATIENCE_S = 60.0
#: How long RQ retries a command that a replica refuses, and how long it waits between attempts to
#: connect: by default it ends the worker in the middle of a job, and waits up to a minute.
RQ_FAILOVER_S = 15.0
RQ_RECONNECT_S = 2.0


class Worker(SimpleWorker):
    """RQ's worker that runs jobs in its own process, with shorter waits for Redis.

    Data that is not RQ's, found in Redis, does not end its loops.
    """

    max_connection_wait_time = RQ_RECONNECT_S

    def dequeue_job_and_maintain_ttl(self, *args: Any, **options: Any) -> Any:
        """As RQ, but skips job ids that are not text."""
        while True:
            try:
                return super().dequeue_job_and_maintain_ttl(*args, **options)
            except UnicodeDecodeError:
                count_unreadable()

    def run_maintenance_tasks(self) -> None:
        """As RQ, but unreadable registries are left to the next time."""
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        except Exception as error:
            if not is_unreadable(error):
                raise
            logger.exception("RQ's registries are unreadable")
            self.last_cleaned_at = rq_now()  # type: ignore[assignment]

    def procline(self, message: str) -> None:
        """Keep the process's own title.

        With setproctitle installed, RQ overwrites the arguments and the environment, by which the
        local run finds processes left by an earlier one.
        """


class WebhookWatch:
    """Watches the webhook's secret, whose file may be replaced at any time."""

    def __init__(self) -> None:
        self._problem: str | None = None

    def check(self) -> bool:
        """Return whether it is valid now; logs each change, with the reason."""
        problem = None
        try:
            Webhook.parse(secrets.require("bitrix-webhook-url"))
        except BadConfiguration as error:
            problem = error.detail
        if problem != self._problem:
            self._problem = problem
            if problem:
                logger.error("webhook missing or invalid, no calls are made", reason=problem)
            else:
                logger.info("the webhook is usable")
        return problem is None


def alarm(
    worker: str, stop: threading.Event, pulse: Heartbeat, reported: Heartbeat, webhook: WebhookWatch
) -> None:
    """Enqueue a job whenever a user is due and no worker is about to lease it, until `stop`.

    Starts retries on time, and replaces lost wake-ups and jobs. Each round also records a heartbeat
    of this worker; `reported` beats once Redis has it. Without a webhook it does neither, so that
    the worker counts as missing.
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
            work_queue().ensure_redis_epoch()
            wait_s = min(wait_s, _wake_if_due())
            rq_jobs.trim_history()  # last, since what it reads may not be RQ's own
        except (QueueDown, QueueDefect):
            logger.warning("alarm can't reach Redis")
        except Exception:  # top of the thread: if it ended, retries would be late
            logger.exception("alarm failed")
        stop.wait(wait_s)


def _wake_if_due() -> float:
    """Enqueue a job for due users or a due probe; returns the seconds until the next round."""
    depth, outage = work_queue().depth(), portal_session.circuit_breaker().state()
    metrics.DUE.set(depth.due)
    metrics.set_paused(outage)
    metrics.set_unreachable(portal_session.reachability().state())
    next_in_s = ALARM_S if depth.next_in_s is None else depth.next_in_s
    if not portal_session.check_webhook():
        return ALARM_S
    is_idle = not depth.due and not depth.leased and depth.next_in_s is None
    if portal_session.claim_probe(outage, is_idle=is_idle):
        portal_session.request_probe()
        rq_jobs.enqueue(at_front=True)
    if not depth.due or outage is not None:
        return next_in_s
    rq_jobs.wake()
    return max(AFTER_WAKE_S, next_in_s)


def main() -> None:
    """Work until SIGTERM; the job under way is finished first."""
    cold_start.freeze()
    log.configure("worker")
    tracing.is_enabled()  # fail at the start if tracing is misconfigured
    connection = connect(secrets.url_source("redis-url"), failover_s=RQ_FAILOVER_S)
    pulse, reported = Heartbeat(ALARM_PATIENCE_S), Heartbeat(SILENT_S, has_begun=False)
    if "PORT" in os.environ:
        serve_probes(is_alive=pulse.is_recent, is_ready=reported.is_recent)
    # A unique name: RQ refuses that of a worker that it believes alive.
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
    """Wait for a valid webhook: without one the worker would only fail jobs."""
    while not webhook.check():
        pulse.beat()
        time.sleep(1)


def _wait_for_redis(name: str, pulse: Heartbeat) -> None:
    """Wait until Redis accepts writes: RQ registers a worker only once, at its start."""
    while True:
        pulse.beat()
        try:
            portal_session.worker_heartbeats().beat(name)
        except (QueueDown, QueueDefect):
            logger.warning("waiting for Redis")
            time.sleep(1)
        else:
            return


if __name__ == "__main__":
    main()
