"""An RQ worker: `python -m leadline.sync.worker`. Each has one call in flight: run several.

It runs jobs in its own process (RQ's SimpleWorker), so that the connections to Bitrix24, RabbitMQ
and Redis persist between jobs.
"""

import os
import sys
import threading
from secrets import token_hex
from types import FrameType
from typing import Any

if __name__ == "__main__":  # before the imports that it speeds up
    from leadline.runtime.serving import cold_start

    cold_start.prepare()

import structlog
from rq import SimpleWorker
from rq.serializers import JSONSerializer
from rq.utils import now as rq_now

from leadline import process
from leadline.errors import QueueDown
from leadline.runtime import secrets
from leadline.runtime.redis import connect, reachable
from leadline.runtime.serving import cold_start
from leadline.runtime.serving.health import serve_probes
from leadline.runtime.telemetry import log, tracing
from leadline.sync import job as _preloaded  # noqa: F401 - so that the first job need not wait for it
from leadline.sync.wake_timer import WakeTimer
from leadline.workqueue.keys import JOBS
from leadline.workqueue.restricted_job import CallJob, count_unreadable, is_unreadable

logger = structlog.get_logger()

#: How long RQ keeps a worker registered; an idle one renews this 15 s earlier.
WORKER_TTL_S = 60
#: Interval of RQ's clean-up, after which abandoned jobs count as failed; by default ten minutes.
MAINTENANCE_S = 60
#: How long one blocking command of an idle worker waits for a job, and how much later a Redis that
#: has not answered counts as silent. RQ's 45 and 10 s are too long for a master that is frozen or
#: cut off: it ends no connection.
DEQUEUE_S = 5
SILENT_AFTER_S = 3
#: How long RQ retries a command that a replica rejects, and how long it waits between attempts to
#: connect. By default it does not retry, which ends the worker in the middle of a job, and waits up
#: to a minute.
RQ_FAILOVER_S = 15.0
RQ_RECONNECT_S = 2.0


class Worker(SimpleWorker):
    """RQ's worker that runs jobs in its own process, with shorter waits for Redis.

    Data in Redis that RQ did not write does not end its loops.
    """

    max_connection_wait_time = RQ_RECONNECT_S
    #: Whether a signal has asked the worker to end.
    is_stopping = False

    @property
    def dequeue_timeout(self) -> int:
        """Seconds for which RQ blocks until a job arrives."""
        return DEQUEUE_S

    @property
    def connection_timeout(self) -> int:
        """Seconds after which RQ gives a connection up."""
        return DEQUEUE_S + SILENT_AFTER_S

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """As RQ, which calls it with the first SIGTERM or SIGINT."""
        self.is_stopping = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def dequeue_job_and_maintain_ttl(self, *args: Any, **options: Any) -> Any:
        """As RQ, but skips job ids that are not text."""
        while True:
            try:
                return super().dequeue_job_and_maintain_ttl(*args, **options)
            except UnicodeDecodeError:
                count_unreadable()

    def run_maintenance_tasks(self) -> None:
        """As RQ, but leaves unreadable registries for the next time."""
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


def main() -> None:
    """Work until SIGTERM; finishes the current job first."""
    cold_start.freeze()
    log.configure("worker")
    tracing.is_enabled()  # fail at the start if tracing is misconfigured
    process.check_start()
    connection = connect(secrets.url_source("redis-url"), failover_s=RQ_FAILOVER_S)
    # A unique name: RQ rejects the name of a worker that it believes to be alive.
    name = f"{JOBS}-{os.uname().nodename}-{os.getpid()}-{token_hex(3)}"
    stop = threading.Event()
    timer = WakeTimer(name, stop)
    if "PORT" in os.environ:
        serve_probes(is_alive=timer.rounds.is_recent, is_ready=timer.stored_heartbeats.is_recent)
    timer.start()
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
    try:
        with reachable():
            worker.work(logging_level="ERROR")  # by default INFO
    except QueueDown:
        # RQ retries only while it waits for a job. The process manager starts a new worker.
        logger.warning("worker ends without Redis")
        sys.exit(1)
    finally:
        stop.set()
    if not worker.is_stopping:
        # RQ ends its loop after an error between two jobs, which it logs unless it is a time-out.
        logger.error("worker ends after a time-out of Redis or an error between two jobs")
        sys.exit(1)
    logger.info("worker stopped")


if __name__ == "__main__":
    main()
