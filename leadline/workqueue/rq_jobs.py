"""The RQ jobs that drive the work queue: one job on `bitrix_jobs` is one call to Bitrix24.

A job carries nothing but the portal's name. Users, their states and attempts are in the work queue:
a lost or duplicate job does no harm, since the next one processes what is due.
"""

import contextlib

from rq import Queue
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from rq.serializers import JSONSerializer

from leadline.process import per_process
from leadline.runtime.redis import client, reachable
from leadline.settings import settings
from leadline.workqueue.keys import JOBS
from leadline.workqueue.queue import work_queue
from leadline.workqueue.restricted_job import EARLIER_JOB, CallJob

#: Longer than the longest call with its waits; the lease expires earlier.
JOB_TIMEOUT_S = 120
#: How many of the last jobs stay in RQ for operators to look at.
KEEP_FINISHED = 10
KEEP_FAILED = 5
#: All workers together trim at most this often.
TRIM_EVERY_MS = 1000
_WEEK_S = 7 * 24 * 3600


@per_process
def rq_queue() -> Queue:
    """RQ's queue, in JSON: with pickle, anyone who can write to Redis could run code here."""
    return Queue(JOBS, connection=client(), serializer=JSONSerializer, job_class=CallJob)


def enqueue(*, at_front: bool = False) -> str:
    """Enqueue a job; returns its id.

    Raises:
        QueueDown: Redis can't be reached.
    """
    with reachable():
        job = rq_queue().enqueue(
            EARLIER_JOB,
            kwargs={"portal": settings().portal},
            at_front=at_front,
            job_timeout=JOB_TIMEOUT_S,
            result_ttl=_WEEK_S,
            failure_ttl=_WEEK_S,
        )
    return str(job.id)


def wake() -> None:
    """Enqueue a job if users are due and no worker is about to lease them.

    Raises:
        QueueDown: Redis can't be reached.
    """
    if work_queue().wakeup.claim():
        enqueue()


@reachable()
def trim_finished_jobs() -> None:
    """Delete all but the last finished and failed jobs; at most once per TRIM_EVERY_MS."""
    if not client().set(f"{work_queue().prefix}trimmed", 1, nx=True, px=TRIM_EVERY_MS):
        return
    for registry, keep in (
        (FinishedJobRegistry(queue=rq_queue()), KEEP_FINISHED),
        (FailedJobRegistry(queue=rq_queue()), KEEP_FAILED),
    ):
        ids = registry.get_job_ids()
        for job_id in ids[: max(0, len(ids) - keep)]:
            # Another worker may have deleted the job.
            with contextlib.suppress(InvalidJobOperation, NoSuchJobError):
                registry.remove(job_id, delete_job=True)
