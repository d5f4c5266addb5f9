"""The wake-up: decides whether a producer must enqueue an RQ job.

It must do so only if no worker is about to lease its user: no batch leader is filling a batch (it
will lease all users that are due by then), and no job of the last second still waits for a worker.
"""

import redis

from leadline.runtime.redis import reachable
from leadline.workqueue.keys import wakeup_keys
from leadline.workqueue.lua import script

#: How long an enqueued job counts as a wake-up. If the job is lost, the next one is enqueued after
#: this time plus the wake timer's second.
CLAIM_MS = 1000


class Wakeup:
    """The wake-up of one portal's workers."""

    def __init__(self, connection: redis.Redis, prefix: str) -> None:
        self._keys = [f"{prefix}due", f"{prefix}leases", *wakeup_keys(prefix)]
        self.claim_ms = CLAIM_MS
        self._claim = script(connection, "wakeups", "claim_wakeup")

    def claim(self) -> bool:
        """Claim the wake-up if users are due that no worker will lease soon; True: enqueue a job.

        The claim lasts `claim_ms`: no other caller gets it meanwhile.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return bool(self._claim(keys=self._keys, args=[self.claim_ms]))
