"""The job: one call to Bitrix24 for all users that are due, up to a batch of them."""

from leadline.errors import BitrixError
from leadline.runtime.redis import reachable
from leadline.sync import portal_session
from leadline.sync.batch_call import Call
from leadline.sync.batching import gather, turn
from leadline.workqueue import rq_jobs
from leadline.workqueue.queue import WorkQueue, work_queue


def call_bitrix24(portal: str) -> int:  # noqa: ARG001 - says in RQ's history which portal
    """Serve what is due; returns how many users were settled.

    Raises:
        BitrixError: the call as a whole failed; everything is written down, RQ only counts it.
        QueueDown: Redis can't be reached; leases expire and the users are due again.
    """
    try:
        with reachable():
            return _serve(work_queue())
    except BitrixError as error:
        # RQ keeps the text of what it catches, and Bitrix24 may quote a person in its own.
        raise type(error)(code=error.code) from None


def _serve(queue: WorkQueue) -> int:
    if portal_session.take_wanted_probe() and portal_session.has_webhook():
        portal_session.probe()
    with turn(queue) as name:
        if name is None or not portal_session.is_open():
            return 0
        leased = gather(queue, name)
    # Who came while this batch was gathered belongs to the next job.
    rq_jobs.wake()
    if not leased.entries:
        return 0
    try:
        return Call(leased, queue).run()
    finally:
        rq_jobs.wake()
