"""Replies to events that the ledger does not know: they may show that Postgres has lost them."""

from leadline.ledger import resync
from leadline.ledger.resync import Again
from leadline.messages.cloudevents import is_credible, number
from leadline.messages.contract import Reply
from leadline.runtime.postgres import installation
from leadline.runtime.postgres.pool import database
from leadline.users import snapshots


def is_lost(reply: Reply, told: str | None) -> bool:
    """Whether this answers an event that Postgres has lost; then the user's lead is looked at.

    `told` is the reply's word of its history. An event of the present one that is newer than its
    user shows that Postgres has gone back without a trace: a new history begins.

    Raises:
        DatabaseDown: nothing was done, or nobody can say; doing it again is harmless.
    """
    history = number(told)
    if history is None or not is_credible(history):
        return False
    present = installation.ensure_history().history
    if history > present or (history == present and _is_ahead(reply)):
        installation.begin_history(lost=history)
    elif history == present:
        return False
    users = snapshots.by_ids([reply.user_id])
    resync.ask(Again(one.id, one.version) for one in users.values())
    return True


def _is_ahead(reply: Reply) -> bool:
    """Whether the event is one that the present history has not come to yet."""
    users = snapshots.by_ids([reply.user_id])
    if users:
        return (reply.version or 0) > users[reply.user_id].version
    (row,) = database().run("SELECT COALESCE(max(id), 0) AS newest FROM users")
    return reply.user_id > int(row["newest"])
