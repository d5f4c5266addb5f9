"""Resync users: enter an event for each that makes a worker look its lead up and repair it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leadline.ledger.resync import resync_events
from leadline.ledger.resync.resync_events import ResyncRequest
from leadline.users import snapshots
from leadline.users.snapshots import UserSnapshot

BATCH = 500


@dataclass(frozen=True, slots=True)
class Batch:
    """The result of resyncing one batch of failed users."""

    #: Events entered; the other users were written or resynced meanwhile.
    requested: int
    users: int
    #: The last user's id: the next batch begins after it.
    last_id: int


def resync_users(user_ids: Sequence[int]) -> tuple[int, list[int], list[int]]:
    """Resync users; returns how many, the ids that are already waiting, and the unknown ids.

    Raises:
        DatabaseDown: the outcome is unknown; safe to repeat.
    """
    users = snapshots.by_ids(user_ids)
    requested = _request(list(users.values()))
    return (
        len(requested),
        sorted(users.keys() - set(requested)),
        sorted(set(user_ids) - users.keys()),
    )


def resync_failed(after: int = 0) -> Iterator[Batch]:
    """Resync all failed users, in batches by id.

    Raises:
        DatabaseDown: the outcome is unknown; safe to repeat.
    """
    while batch := resync_batch(after):
        after = batch.last_id
        yield batch


def resync_batch(after: int, reason_id: str | None = None) -> Batch | None:
    """Resync the next `BATCH` failed users by id, of this group or of all; None: none is left.

    Raises:
        DatabaseDown: the outcome is unknown; safe to repeat.
    """
    users = snapshots.after(after, BATCH, only_failed=True, reason_id=reason_id)
    return Batch(len(_request(users)), len(users), users[-1].id) if users else None


def _request(users: list[UserSnapshot]) -> list[int]:
    return resync_events.request(ResyncRequest(user.id, user.version) for user in users)
