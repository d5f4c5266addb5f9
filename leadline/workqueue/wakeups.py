"""Who looks at what is due: enough workers that nobody is left waiting, and no more.

A caller that puts a user enqueues a job only where no worker is coming: none gathers a batch (it
will hold all users that are due when it goes), and no job was enqueued within the last second that
no worker has begun.
"""

import redis

from leadline.runtime.redis import reachable
from leadline.workqueue.lua_scripts import script

#: After a job that was lost the next one is enqueued within this time and the alarm's second.
WAKEUP_MS = 1000


class Wakeups:
    """Of one portal's workers."""

    def __init__(self, connection: redis.Redis, prefix: str) -> None:
        self._gatherer, called = f"{prefix}gatherer", f"{prefix}called"
        self._waiting = [f"{prefix}due", f"{prefix}leases"]
        #: How long a caller that enqueues a job counts as coming.
        self.wakeup_ms = WAKEUP_MS
        #: What says whether anybody comes.
        self.keys = [self._gatherer, called]
        self._wake = script(connection, "wakeups", "claim_wakeup")
        self._claim = script(connection, "wakeups", "claim_leadership")
        self._stay = script(connection, "wakeups", "extend_leadership")
        self._leave = script(connection, "wakeups", "resign_leadership")

    def claim_wakeup(self) -> bool:
        """Whether users are due and nobody comes: the caller must enqueue a job.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return bool(self._wake(keys=[*self._waiting, *self.keys], args=[self.wakeup_ms]))

    def claim_leadership(self, name: str, for_ms: int) -> bool:
        """Become the one who gathers a batch; False where another one does, or nobody is due.

        Until `leave`, or as long as `for_ms`, nobody is told to enqueue a job.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return bool(self._claim(keys=[*self._waiting, *self.keys], args=[name, for_ms]))

    def extend_leadership(self, name: str, for_ms: int) -> None:
        """Gather for `for_ms` from now on.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            self._stay(keys=[self._gatherer], args=[name, for_ms])

    def resign_leadership(self, name: str) -> None:
        """Gather no more; who was put since the lease still waits, see `needs_job`.

        Raises:
            QueueDown: Redis can't be reached, and the time runs out.
        """
        with reachable():
            self._leave(keys=[self._gatherer], args=[name])
