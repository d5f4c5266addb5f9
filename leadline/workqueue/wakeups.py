"""Wake-ups: decide whether a producer must enqueue an RQ job, and which worker leads a batch.

A producer enqueues a job only if no worker is about to lease its user: no batch leader is filling a
batch (it will lease all users that are due by then), and no job of the last second is still waiting
for a worker.
"""

import redis

from leadline.runtime.redis import reachable
from leadline.workqueue.lua import script

#: How long an enqueued job counts as a wake-up. If the job is lost, the next one is enqueued after
#: this time plus the wake timer's second.
WAKEUP_MS = 1000


class Wakeups:
    """The wake-ups and the batch leader of one portal."""

    def __init__(self, connection: redis.Redis, prefix: str) -> None:
        self._leader, wakeup = f"{prefix}gatherer", f"{prefix}called"
        self._waiting = [f"{prefix}due", f"{prefix}leases"]
        self.wakeup_ms = WAKEUP_MS
        #: The keys by which scripts know whether a worker is about to lease.
        self.keys = [self._leader, wakeup]
        self._wake = script(connection, "wakeups", "claim_wakeup")
        self._claim = script(connection, "wakeups", "claim_leadership")
        self._extend = script(connection, "wakeups", "extend_leadership")
        self._resign = script(connection, "wakeups", "resign_leadership")

    def claim_wakeup(self) -> bool:
        """Claim the wake-up if users are due that no worker will lease soon; True: enqueue a job.

        The claim lasts `wakeup_ms`: no other caller gets it meanwhile.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return bool(self._wake(keys=[*self._waiting, *self.keys], args=[self.wakeup_ms]))

    def claim_leadership(self, name: str, for_ms: int) -> bool:
        """Become the batch leader; False if there is one already, or if no user is due.

        No wake-up can be claimed until `resign_leadership`, or for `for_ms`.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return bool(self._claim(keys=[*self._waiting, *self.keys], args=[name, for_ms]))

    def extend_leadership(self, name: str, for_ms: int) -> None:
        """Lead for `for_ms` from now on, unless another worker leads by now.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            self._extend(keys=[self._leader], args=[name, for_ms])

    def resign_leadership(self, name: str) -> None:
        """Stop leading; users put after the batch was leased still need a wake-up.

        Raises:
            QueueDown: Redis can't be reached; leadership ends by its own expiry.
        """
        with reachable():
            self._resign(keys=[self._leader], args=[name])
