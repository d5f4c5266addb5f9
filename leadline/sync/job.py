"""The RQ job: one call to Bitrix24 for the due users, up to a batch of them."""

from leadline.errors import BitrixError
from leadline.sync import portal_session
from leadline.sync.batch_call import BatchCall
from leadline.sync.batching import lead_batch, lease_batch
from leadline.workqueue import rq_jobs
from leadline.workqueue.queue import WorkQueue, work_queue


def call_bitrix24(portal: str) -> int:  # noqa: ARG001 - RQ's list of jobs shows the portal
    """Lease, call and settle; returns the number of users settled.

    Raises:
        BitrixError: the call as a whole failed; all settlements are saved, RQ records a failed job.
        QueueDown: Redis can't be reached; the leases expire and the users are due again.
        QueueDefect: the same, until Redis' data or rights are corrected.
    """
    try:
        return _run(work_queue())
    except BitrixError as error:
        # RQ stores the text of what it catches, and Bitrix24 may quote a person in its own.
        raise type(error)(code=error.code) from None


def _run(queue: WorkQueue) -> int:
    if portal_session.claim_requested_probe() and portal_session.check_webhook():
        portal_session.probe()
    with lead_batch(queue) as leader:
        if leader is None or not portal_session.probe_if_due():
            return 0
        leased = lease_batch(queue, leader)
    # Users put after the batch was leased belong to the next job.
    rq_jobs.wake()
    if not leased.entries:
        return 0
    try:
        return BatchCall(leased, queue).run()
    finally:
        rq_jobs.wake()
