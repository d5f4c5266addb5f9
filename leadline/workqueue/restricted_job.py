"""RQ's job, restricted to the one function that we enqueue.

RQ imports and runs any function that a job in Redis names, callbacks and web hooks included: a
worker that accepted all jobs would let anyone who can write to Redis run code in it.
"""

from typing import Any

import redis
import structlog
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.utils import import_attribute

from leadline.runtime.telemetry import metrics
from leadline.settings import settings

log = structlog.get_logger()

#: The job's function, by the name under which RQ imports it.
JOB = "leadline.sync.job.call_bitrix24"
#: Its name in the previous release. Jobs are still enqueued under it, since workers of that release
#: refuse any other during a rollout or rollback. The next release enqueues JOB.
EARLIER_JOB = "leadline.sync.jobs.call_bitrix24"

FOREIGN = metrics.Counter(
    "leadline_foreign_jobs_total", "Foreign jobs in Redis that a worker refused"
)


class ForeignJob(Exception):
    """A job that is not ours; the text quotes nothing from it."""


def count_unreadable(**fields: object) -> None:
    """Count and log an unreadable job."""
    FOREIGN.inc()
    log.error("unreadable job refused", **fields)


def is_unreadable(error: Exception) -> bool:
    """Whether RQ failed on data in Redis that it can't have written.

    False if the server itself is the cause: unreachable, or read-only.
    """
    if isinstance(error, redis.ResponseError):
        return str(error).startswith("WRONGTYPE")
    return isinstance(error, ValueError | TypeError | LookupError | AttributeError)


class CallJob(Job):
    """A job that runs our function with our arguments and nothing else."""

    @classmethod
    def fetch(cls, id: str, connection: Any = None, serializer: Any = None) -> Any:  # noqa: A002
        """Like RQ's `fetch`, but an unreadable job counts as missing and ends no worker."""
        try:
            return super().fetch(id, connection, serializer)
        except Exception as error:
            if not is_unreadable(error):
                raise
            count_unreadable(job_id=id)
            raise NoSuchJobError from None

    def restore(self, raw_data: Any) -> Any:
        """Like RQ's `restore`, but without callbacks, web hooks, dependencies: ours have none."""
        restored = super().restore(raw_data)
        self._success_callback_name = self._failure_callback_name = None
        self._stopped_callback_name = None
        self.webhooks = []
        self._dependency_ids = []
        return restored

    @property
    def func(self) -> Any:
        """The function to run.

        Raises:
            ForeignJob: the function or its arguments are not ours.
        """
        arguments = (self.instance, list(self.args), self.kwargs)
        allowed: Any = (None, [], {"portal": settings().portal})
        if self.func_name not in {JOB, EARLIER_JOB} or arguments != allowed:
            FOREIGN.inc()
            log.error("foreign job refused", job_id=self.id)
            raise ForeignJob("foreign job")
        return import_attribute(JOB)
