"""Replies to unknown events: they may show that Postgres lost events in a failover or restore."""

from leadline.ledger.resync import resync_events
from leadline.ledger.resync.resync_events import ResyncRequest
from leadline.messages.attributes import is_credible, number
from leadline.messages.contract import Reply
from leadline.runtime.postgres import installation
from leadline.runtime.postgres.pool import database
from leadline.users import snapshots


def recover(reply: Reply, claimed_history: str | None) -> bool:
    """If Postgres lost the event of this reply, resync its user; returns whether it was lost.

    `claimed_history` is the history attribute of the reply. If it is the current history and the
    event is newer than its user, Postgres has lost writes unnoticed: a new history begins.

    Raises:
        DatabaseDown: nothing was done, or the outcome is unknown; safe to repeat.
    """
    history = number(claimed_history)
    if history is None or not is_credible(history):
        return False
    current = installation.ensure_history().history
    if history > current or (history == current and _is_ahead(reply)):
        installation.begin_history(lost=history)
    elif history == current:
        return False
    # Otherwise the event belongs to an earlier history, whose end lost it.
    users = snapshots.by_ids([reply.user_id])
    resync_events.request(ResyncRequest(user.id, user.version) for user in users.values())
    return True


def _is_ahead(reply: Reply) -> bool:
    """Whether the event is newer than its user, or the user id was never assigned here."""
    users = snapshots.by_ids([reply.user_id])
    if users:
        # A reply without a version proves nothing.
        return reply.version is not None and reply.version > users[reply.user_id].version
    (row,) = database().run("SELECT COALESCE(max(id), 0) AS newest FROM users")
    return reply.user_id > int(row["newest"])
