"""Resync users: enter an event for each that makes a worker look its lead up and repair it."""

from collections.abc import Sequence

from leadline.ledger.resync import resync_events
from leadline.ledger.resync.resync_events import ResyncRequest
from leadline.users import snapshots

#: Maximum number of users that callers resync at a time.
BATCH = 500


def resync_users(user_ids: Sequence[int]) -> tuple[int, list[int], list[int]]:
    """Resync users; returns how many, the ids that are already waiting, and the unknown ids.

    Raises:
        DatabaseDown: the outcome is unknown; safe to repeat.
    """
    users = snapshots.by_ids(user_ids)
    requested = resync_events.request(
        ResyncRequest(user.id, user.version) for user in users.values()
    )
    return (
        len(requested),
        sorted(users.keys() - set(requested)),
        sorted(set(user_ids) - users.keys()),
    )
