"""Failed users, grouped by the reason: texts that differ only in numbers are one reason."""

from typing import Any

from leadline.runtime.postgres.pool import database

#: Maximum number of groups that are listed.
MAX_GROUPS = 50

#: A reason without its numbers.
REASON = "regexp_replace(sync_reason, '[0-9]+', '#', 'g')"
#: The id of a user's group; it changes only with the reason's text.
REASON_ID = f"to_hex(hashtextextended({REASON}, 0))"

_GROUPS = f"""
SELECT {REASON_ID} AS reason_id, min(sync_reason) AS reason, count(*) AS users,
       count(due_at) AS retrying, min(settled_at) AS since, max(settled_at) AS latest
FROM unsynced_users JOIN users ON users.id = user_id AND sync_status = 'failed'
LEFT JOIN events ON events.user_id = users.id AND events.version = users.version
WHERE status = 'failed'
GROUP BY 1 ORDER BY users DESC, reason LIMIT :limit
"""  # noqa: S608 - of constants; values are parameters


def groups() -> list[dict[str, Any]]:
    """Groups of all failed users, the largest first, `MAX_GROUPS` at most.

    Each has the `reason` of one of its users, the number of `users`, the number that are `retrying`
    automatically, and the first (`since`) and `latest` time of a failure. The console polls this.
    (The command line's `failed_users.groups` also filters, and reads the failed events themselves.)

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return database().run(_GROUPS, limit=MAX_GROUPS)
