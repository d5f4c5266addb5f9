"""An operator's decision about a held user: link it to a lead, or create a new one."""

from leadline.errors import InvalidRequest
from leadline.ledger import held_users
from leadline.ledger.resync import resync_events
from leadline.ledger.resync.resync_events import ResyncRequest
from leadline.messages.attributes import CREATE
from leadline.runtime.postgres.pool import UNIQUE_VIOLATION, StatementError
from leadline.users import snapshots

NOT_HELD = "user {} is not held"
CHANGED = "user {} has just been written: look again"


def link(user_id: int, lead_id: int) -> None:
    """Link a held user to one of the leads that were found; a worker writes what differs.

    Raises:
        InvalidRequest: the user is not held, the lead was not found for it, or is another user's.
        DatabaseDown: the outcome is unknown; safe to repeat.
    """
    held_rows = held_users.page(1, user_id=user_id)
    if not held_rows:
        raise InvalidRequest(NOT_HELD.format(user_id))
    if lead_id not in held_rows[0]["lead_ids"]:
        raise InvalidRequest(f"lead {lead_id} was not found for user {user_id}")
    _decide(user_id, lead_id=lead_id)


def create(user_id: int) -> None:
    """Have a lead created for a held user, even if other leads have its phone.

    Raises:
        InvalidRequest: the user is not held.
        DatabaseDown: the outcome is unknown; safe to repeat.
    """
    if not held_users.page(1, user_id=user_id):
        raise InvalidRequest(NOT_HELD.format(user_id))
    _decide(user_id)


def _decide(user_id: int, lead_id: int | None = None) -> None:
    user = snapshots.by_ids([user_id])[user_id]
    request = ResyncRequest(user_id, user.version, even_waiting=True, lead_id=lead_id)
    try:
        entered = resync_events.request([request], also=() if lead_id else (CREATE,))
    except StatementError as error:
        if error.code != UNIQUE_VIOLATION:
            raise
        raise InvalidRequest(f"lead {lead_id} belongs to another user") from None
    if not entered:
        raise InvalidRequest(CHANGED.format(user_id))
