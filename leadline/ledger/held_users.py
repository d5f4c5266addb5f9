"""Users held for an operator: several leads or contacts match, so no lead was created.

Their events stay open and are republished hourly: the duplicates may have been resolved in the CRM
meanwhile. A row of `held_users` holds its user until the row's version, or a later one, is synced.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from leadline.runtime.postgres.json_rows import as_json, parse
from leadline.runtime.postgres.pool import database

#: After how long a held event is republished, which repeats the search.
SEARCH_AGAIN_S = 3600.0

_IS_HELD = """
held_users.version > users.synced_version AND users.sync_status = 'waiting'
AND users.erased_at IS NULL
"""
# Users are locked before their events, in id order, as when a reply is settled.
_RECORD = """
WITH reply AS (
    SELECT * FROM json_to_recordset(CAST(:replies AS json)) AS reply (
        event_id uuid, user_id bigint, reason text, lead_ids bigint[], contact_ids bigint[]
    )
), owner AS (
    SELECT id FROM users WHERE id = ANY (ARRAY (SELECT user_id FROM reply))
    ORDER BY id FOR NO KEY UPDATE
), waiting AS (
    UPDATE events SET due_at = now() + make_interval(secs => :search_again_s)
    FROM owner JOIN reply ON reply.user_id = owner.id
    WHERE events.id = ANY (ARRAY (SELECT event_id FROM reply))
      AND events.id = reply.event_id AND events.user_id = owner.id AND events.state = 'open'
    RETURNING events.user_id, events.version, reply.reason, lead_ids, contact_ids
)
INSERT INTO held_users (user_id, version, reason, lead_ids, contact_ids)
SELECT user_id, version, reason, lead_ids, contact_ids FROM waiting
ON CONFLICT (user_id) DO UPDATE SET version = EXCLUDED.version, reason = EXCLUDED.reason,
    lead_ids = EXCLUDED.lead_ids, contact_ids = EXCLUDED.contact_ids,
    since = CASE WHEN held_users.version > (SELECT synced_version FROM users
                                            WHERE id = EXCLUDED.user_id)
            THEN held_users.since ELSE now() END
WHERE held_users.version <= EXCLUDED.version
RETURNING user_id
"""
_PAGE = as_json(f"""
    SELECT users.id AS user_id, users.full_name, users.phone, held_users.version, since, reason,
           lead_ids, contact_ids
    FROM held_users JOIN users ON users.id = held_users.user_id
    WHERE {_IS_HELD} AND users.id > :after
      AND (CAST(:user_id AS bigint) IS NULL OR users.id = CAST(:user_id AS bigint))
    ORDER BY users.id LIMIT :limit
""")  # noqa: S608 - of constants; values are parameters
_COUNT = f"""
SELECT count(*) AS users FROM held_users JOIN users ON users.id = held_users.user_id
WHERE {_IS_HELD}
"""  # noqa: S608 - of constants; values are parameters


@dataclass(frozen=True, slots=True)
class HeldReply:
    """The reply to an event of a held user."""

    event_id: Any
    user_id: int
    reason: str
    lead_ids: Sequence[int]
    contact_ids: Sequence[int]


def record(replies: Iterable[HeldReply]) -> list[int]:
    """Record these replies, one for each user; returns the users whose event is still open.

    Raises:
        DatabaseDown: nothing was recorded.
    """
    rows = database().run(
        _RECORD,
        replies=orjson.dumps([asdict(reply) for reply in replies]).decode(),
        search_again_s=SEARCH_AGAIN_S,
    )
    return [int(row["user_id"]) for row in rows]


def page(limit: int, after: int = 0, user_id: int | None = None) -> list[dict[str, Any]]:
    """The next held users by id, or only this one.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return parse(database().run(_PAGE, limit=limit, after=after, user_id=user_id))


def count() -> int:
    """How many users are held.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return int(database().run(_COUNT)[0]["users"])
