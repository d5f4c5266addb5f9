"""The ledger in figures."""

import threading
import time
from dataclasses import dataclass

from leadline.runtime.postgres.pool import database

# Answered from what is small, however long the tables are.
_BACKLOG = """
SELECT (SELECT count(*) FROM unsynced_users WHERE status = 'waiting') AS waiting,
       (SELECT count(*) FROM unsynced_users WHERE status = 'failed') AS failed,
       open.events AS open_events, open.unpublished, open.retrying, open.oldest_s, open.overdue_s
FROM (
    SELECT count(*) FILTER (WHERE state = 'open') AS events,
           count(*) FILTER (WHERE state = 'open' AND published_at IS NULL) AS unpublished,
           count(*) FILTER (WHERE state = 'failed') AS retrying,
           CAST(extract(epoch FROM now() - min(occurred_at) FILTER (WHERE state = 'open'))
                AS float) AS oldest_s,
           CAST(extract(epoch FROM now() - min(due_at)) AS float) AS overdue_s
    FROM events WHERE due_at IS NOT NULL
) AS open
"""


# Rows in order need no count of their own: all that are neither waiting nor failed.
_COUNTS = f"""
SELECT :known + (SELECT count(*) FROM users WHERE id > :up_to) AS users, backlog.*
FROM ({_BACKLOG}) AS backlog
"""  # noqa: S608 - of constants; values are parameters

# Ids are not committed in their order, but no statement lasts a minute.
_BEYOND_DOUBT = """
SELECT GREATEST(newest.id, :up_to) AS up_to,
       (SELECT count(*) FROM users WHERE id > :up_to AND id <= newest.id) AS more
FROM (
    SELECT id FROM users WHERE created_at < now() - interval '1 minute' ORDER BY id DESC LIMIT 1
) AS newest
"""
#: How often all users are counted anew: somebody may have deleted some by hand.
RECOUNT_S = 600


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What is still to be done."""

    #: Users whose last write was not answered yet, or has failed.
    waiting: int
    failed: int
    #: Writes without an answer; those of them that RabbitMQ has not confirmed yet.
    open_events: int
    unpublished: int
    #: Failed writes that are tried again by themselves.
    retrying: int
    #: Age of the oldest write without an answer.
    oldest_s: float | None
    #: For how long the relay has had something to do; negative or None: nothing is due.
    overdue_s: float | None


@dataclass(frozen=True, kw_only=True)
class Counts(Backlog):
    """Users by what became of their last write, and what is still to be done."""

    users: int

    @property
    def synced(self) -> int:
        """Users whose lead is as it should be."""
        return self.users - self.waiting - self.failed


def backlog() -> Backlog:
    """What is still to be done, quick enough to be asked often.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return Backlog(**database().run(_BACKLOG)[0])


def counts() -> Counts:
    """The ledger as it stands now; counts all users.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return _counts(known=0, up_to=0)


class Counter:
    """The same, for whoever asks all the time: users that were counted are not counted again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known, self._up_to, self._recount_at = 0, 0, 0.0

    def counts(self) -> Counts:
        """The ledger as it stands now.

        Raises:
            DatabaseDown: Postgres can't be reached.
        """
        with self._lock:
            if time.monotonic() >= self._recount_at:
                self._known, self._up_to = 0, 0
                self._recount_at = time.monotonic() + RECOUNT_S
            for row in database().run(_BEYOND_DOUBT, up_to=self._up_to):
                self._known += row["more"]
                self._up_to = row["up_to"]
            known, up_to = self._known, self._up_to
        return _counts(known=known, up_to=up_to)


def _counts(**counted: int) -> Counts:
    return Counts(**database().run(_COUNTS, **counted)[0])
