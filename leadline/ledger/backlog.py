"""Counts of the ledger: users by sync status, and the backlog of events."""

import threading
import time
from dataclasses import dataclass

from leadline.runtime.postgres.pool import database

# Reads partial indexes and small tables only, so it stays fast however large the ledger is.
_BACKLOG = """
SELECT (SELECT count(*) FROM unsynced_users WHERE status = 'waiting') AS waiting,
       (SELECT count(*) FROM unsynced_users WHERE status = 'failed') AS failed,
       open.held, open.events AS open_events, open.unpublished, open.retrying, open.oldest_s,
       open.overdue_s
FROM (
    SELECT count(*) FILTER (WHERE state = 'open') AS events,
           count(*) FILTER (WHERE state = 'open' AND published_at IS NULL) AS unpublished,
           count(*) FILTER (WHERE state = 'failed') AS retrying,
           CAST(extract(epoch FROM now() - min(occurred_at) FILTER (
               WHERE state = 'open' AND held_users.user_id IS NULL
           )) AS float) AS oldest_s,
           CAST(extract(epoch FROM now() - min(due_at)) AS float) AS overdue_s,
           count(*) FILTER (WHERE state = 'open' AND held_users.version = events.version) AS held
    FROM events
    -- Few users are held.
    LEFT JOIN held_users ON held_users.user_id = events.user_id
        AND held_users.version >= events.version
    WHERE due_at IS NOT NULL
) AS open
"""


# An erased user counts until its lead is erased, too: until then it is waiting or failed.
_COUNTED = "(erased_at IS NULL OR sync_status <> 'synced')"

# Synced users need no count of their own: they are all others.
_COUNTS = f"""
SELECT :known + (SELECT count(*) FROM users WHERE id > :up_to AND {_COUNTED}) AS users, backlog.*
FROM ({_BACKLOG}) AS backlog
"""  # noqa: S608 - of constants; values are parameters

# The count of users created more than a minute ago is final: ids may be committed out of order, but
# no statement lasts a minute.
_COMMITTED = f"""
SELECT GREATEST(newest.id, :up_to) AS up_to,
       (SELECT count(*) FROM users WHERE id > :up_to AND id <= newest.id AND {_COUNTED}) AS more
FROM (
    SELECT id FROM users WHERE created_at < now() - interval '1 minute' ORDER BY id DESC LIMIT 1
) AS newest
"""  # noqa: S608 - of constants; values are parameters
#: Seconds between full counts: users may have been deleted by hand.
RECOUNT_S = 600


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """The backlog: users and events that are not settled."""

    #: Users whose last write waits for its reply.
    waiting: int
    #: Users whose last write has failed.
    failed: int
    #: Waiting users that are held for an operator.
    held: int
    #: Events without a reply.
    open_events: int
    #: Open events that RabbitMQ has not confirmed yet.
    unpublished: int
    #: Failed events that are retried automatically.
    retrying: int
    #: Age of the oldest event without a reply, other than those of held users.
    oldest_s: float | None
    #: How long the oldest due event has waited for the relay; negative or None if nothing is due.
    overdue_s: float | None


@dataclass(frozen=True, kw_only=True)
class Counts(Backlog):
    """Users by sync status, and the backlog."""

    users: int

    @property
    def synced(self) -> int:
        """Users whose last write was applied."""
        return self.users - self.waiting - self.failed


def backlog() -> Backlog:
    """The backlog; cheap enough to poll.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return Backlog(**database().run(_BACKLOG)[0])


def counts() -> Counts:
    """The current counts; scans all users.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return _counts(known=0, up_to=0)


class CachedCounts:
    """Counts for polling: counts only users created since the last call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: The number of users up to the id `_up_to`, which is final.
        self._known, self._up_to = 0, 0
        self._recount_at = 0.0

    def counts(self) -> Counts:
        """The current counts.

        Raises:
            DatabaseDown: Postgres can't be reached.
        """
        with self._lock:
            if time.monotonic() >= self._recount_at:
                self._known, self._up_to = 0, 0
                self._recount_at = time.monotonic() + RECOUNT_S
            # No row if no user is older than a minute.
            for row in database().run(_COMMITTED, up_to=self._up_to):
                self._known += row["more"]
                self._up_to = row["up_to"]
            known, up_to = self._known, self._up_to
        return _counts(known=known, up_to=up_to)


def _counts(**counted: int) -> Counts:
    return Counts(**database().run(_COUNTS, **counted)[0])
