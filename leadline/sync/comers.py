"""Who looks at what is due: enough workers that nobody is left waiting, and no more.

Whoever puts a user is told to enqueue a job only where nobody comes: no job waits in RQ, nobody
gathers a batch (it will hold all who are due when it goes), and nobody else was just told so.
"""

import redis

from leadline.runtime.redis import reachable
from leadline.sync.keys import JOBS_KEY
from leadline.sync.scripts import script


class Comers:
    """Of one portal's workers."""

    def __init__(self, connection: redis.Redis, prefix: str) -> None:
        self._redis = connection
        self._gatherer, called = f"{prefix}gatherer", f"{prefix}called"
        self._waiting = [f"{prefix}due", f"{prefix}leases"]
        #: What says whether anybody comes.
        self.keys = [JOBS_KEY, self._gatherer, called]
        self._wake = script(connection, "comers", "wake")
        self._claim = script(connection, "comers", "claim")
        self._leave = script(connection, "leave")

    def needs_job(self) -> bool:
        """Whether users are due and nobody comes: the caller must enqueue a job.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return bool(self._wake(keys=[*self._waiting, *self.keys]))

    def claim(self, name: str, for_ms: int) -> bool:
        """Become the one who gathers a batch; False where another one does, or nobody is due.

        Until `leave`, or as long as `for_ms`, nobody is told to enqueue a job.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return bool(self._claim(keys=[*self._waiting, *self.keys], args=[name, for_ms]))

    def stay(self, for_ms: int) -> None:
        """Go on gathering for so long.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            self._redis.pexpire(self._gatherer, for_ms)

    def leave(self, name: str) -> None:
        """Gather no more; who was put since the lease still waits, see `needs_job`.

        Raises:
            QueueDown: Redis can't be reached, and the time runs out.
        """
        with reachable():
            self._leave(keys=[self._gatherer], args=[name])
