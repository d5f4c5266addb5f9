"""Timer of a worker: a thread that enqueues jobs for users whose delay is over.

It also replaces lost wake-ups, records the worker's heartbeat, and watches the webhook's secret,
whose file may be replaced at any time.
"""

import threading

import structlog

from leadline.bitrix24.webhook_url import WebhookUrl
from leadline.errors import BadConfiguration, QueueError
from leadline.runtime import secrets
from leadline.runtime.serving.health import Heartbeat
from leadline.sync import metrics, portal_session
from leadline.workqueue import rq_jobs
from leadline.workqueue.queue import work_queue
from leadline.workqueue.worker_heartbeats import SILENT_S

logger = structlog.get_logger()

#: Longest pause between rounds, hence the longest wait of a user that becomes due in between.
ROUND_S = 1.0
#: Shortest pause after a wake-up, so that users due shortly after each other share one.
AFTER_WAKE_S = 0.25
#: After how long a round counts as hung; it may wait for several Redis time-outs.
HUNG_AFTER_S = 60.0


class WakeTimer:
    """Enqueues a job whenever a user is due and no worker is about to lease it.

    Without a valid webhook it enqueues nothing and records no heartbeat, so that the worker counts
    as missing. Setting `stop` ends it.
    """

    def __init__(self, worker: str, stop: threading.Event) -> None:
        self._worker = worker
        self._stop = stop
        self._webhook_problem: str | None = None
        self._site = ""
        #: Beats in each round: shows whether the timer hangs.
        self.rounds = Heartbeat(HUNG_AFTER_S)
        #: Beats with each heartbeat that Redis has stored: shows whether the worker seems alive.
        self.stored_heartbeats = Heartbeat(SILENT_S, has_begun=False)

    def start(self) -> None:
        """Wait until the webhook is valid and Redis accepts writes, then begin the rounds.

        Without a webhook a worker would only fail jobs; without Redis it would not be registered,
        which RQ does only at the start.
        """
        while not (self._check_webhook() and self._try_heartbeat()):
            self.rounds.beat()
            self._stop.wait(ROUND_S)
        threading.Thread(target=self.run, name="wake-timer", daemon=True).start()

    def run(self) -> None:
        """Run rounds until stopped."""
        while not self._stop.is_set():
            self.rounds.beat()
            self._stop.wait(self._round() if self._check_webhook() else ROUND_S)

    def _round(self) -> float:
        """Record a heartbeat, wake, trim; returns the seconds until the next round."""
        wait_s = ROUND_S
        try:
            portal_session.worker_heartbeats().beat(self._worker, self._site)
            self.stored_heartbeats.beat()
            work_queue().ensure_redis_epoch()
            wait_s = min(wait_s, wake_if_due())
            rq_jobs.trim_finished_jobs()  # last: data that is not RQ's may make it fail
        except QueueError:
            logger.warning("the wake timer can't reach Redis")
        except Exception:  # edge of the thread: if it died, retries would be late
            logger.exception("the wake timer failed")
        return wait_s

    def _try_heartbeat(self) -> bool:
        """Record a heartbeat; returns whether Redis has stored it."""
        try:
            portal_session.worker_heartbeats().beat(self._worker, self._site)
        except QueueError:
            logger.warning("waiting for Redis")
            return False
        return True

    def _check_webhook(self) -> bool:
        """Return whether the webhook is valid now; logs each change, with the reason."""
        problem = None
        try:
            self._site = WebhookUrl.parse(secrets.require("bitrix-webhook-url")).site
        except BadConfiguration as error:
            problem = error.detail
        if problem != self._webhook_problem:
            self._webhook_problem = problem
            if problem:
                logger.error("webhook missing or invalid, no calls are made", reason=problem)
            else:
                logger.info("the webhook is usable")
        return problem is None


def wake_if_due() -> float:
    """Enqueue a job for due users or a due probe; returns the seconds until the next round.

    Also sets the gauges of the work queue and of the portal.
    """
    depth = work_queue().depth()
    outage = portal_session.circuit_breaker().restore_and_read()
    metrics.DUE.set(depth.due)
    metrics.set_paused(outage)
    metrics.set_unreachable(portal_session.reachability().outage())
    next_in_s = ROUND_S if depth.next_in_s is None else depth.next_in_s
    if not portal_session.check_webhook():
        return ROUND_S
    is_idle = not depth.due and not depth.leased and depth.next_in_s is None
    if portal_session.claim_probe(outage, is_idle=is_idle):
        portal_session.request_probe()
        rq_jobs.enqueue(at_front=True)
    if not depth.due or outage is not None:
        return next_in_s
    rq_jobs.wake()
    return max(AFTER_WAKE_S, next_in_s)
