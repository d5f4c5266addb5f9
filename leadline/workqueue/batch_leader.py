"""The batch leader: the one worker that fills the next batch.

Until it resigns, the other workers wait, and no wake-up is needed: it will lease all users that are
due by then.
"""

import redis

from leadline.runtime.redis import reachable
from leadline.workqueue.keys import wakeup_keys
from leadline.workqueue.lua import script


class BatchLeader:
    """The batch leader of one portal; a worker leads under a name of its own."""

    def __init__(self, connection: redis.Redis, prefix: str) -> None:
        self._leader, wakeup = wakeup_keys(prefix)
        self._keys = [f"{prefix}due", f"{prefix}leases", self._leader, wakeup]
        self._claim = script(connection, "wakeups", "claim_leadership")
        self._extend = script(connection, "wakeups", "extend_leadership")
        self._resign = script(connection, "wakeups", "resign_leadership")

    def claim(self, name: str, for_ms: int) -> bool:
        """Become the batch leader; False if there is one already, or if no user is due.

        No wake-up can be claimed until `resign`, or for `for_ms`.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            return bool(self._claim(keys=self._keys, args=[name, for_ms]))

    def extend(self, name: str, for_ms: int) -> None:
        """Lead for `for_ms` from now on, unless another worker leads by now.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with reachable():
            self._extend(keys=[self._leader], args=[name, for_ms])

    def resign(self, name: str) -> None:
        """Stop leading; users put after the batch was leased still need a wake-up.

        Raises:
            QueueDown: Redis can't be reached; leadership ends by its own expiry.
        """
        with reachable():
            self._resign(keys=[self._leader], args=[name])
