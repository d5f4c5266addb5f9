"""A user's last writes with all that the ledger knows of their way."""

from typing import Any

from leadline.runtime.postgres.pool import database

#: As many as `GET /users/{id}` shows.
LAST = 10

_LAST_EVENTS = f"""
SELECT CAST(id AS text) AS event_id, version, action, changed, state, reason, attempts, sendings,
       occurred_at, published_at, settled_at, due_at, correlation_id, caller, journey
FROM events WHERE user_id = :user_id ORDER BY version DESC LIMIT {LAST}
"""  # noqa: S608 - of constants; values are parameters


def last_events(user_id: int) -> list[dict[str, Any]]:
    """The newest first; `journey` as `messages.journey` writes it, None where nobody told.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return database().run(_LAST_EVENTS, user_id=user_id)
