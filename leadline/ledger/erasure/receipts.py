"""Receipts of erasures: who requested it, when, what was removed, and the lead's outcome."""

from collections.abc import Collection, Sequence
from typing import Any

from leadline.messages.contract import LeadOutcome
from leadline.runtime.postgres.pool import database

_SELECT = """
SELECT user_id, erasures.version, erasures.erased_at, caller, events, idempotency_keys,
       dead_letters, lead, lead_at, sync_status AS status, sync_reason AS reason, bitrix_lead_id
FROM erasures JOIN users ON users.id = user_id
"""

# A repeated reply reports no lead if the first one reported its deletion.
_RECORD_LEAD = """
UPDATE erasures SET lead = CAST(:lead AS text), lead_at = now()
WHERE user_id = :user_id AND (lead IS NULL OR lead <> :lead)
  AND NOT (COALESCE(lead, '') = 'deleted' AND :lead = 'none')
"""


def page(after: int, limit: int) -> list[dict[str, Any]]:
    """The next receipts by user id.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    sql = f"{_SELECT} WHERE user_id > :after ORDER BY user_id LIMIT :limit"
    return database().run(sql, after=after, limit=limit)


def by_ids(user_ids: Sequence[int]) -> list[dict[str, Any]]:
    """The receipts of these users; ids that were not erased are left out.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    sql = f"{_SELECT} WHERE user_id = ANY (CAST(:ids AS bigint[])) ORDER BY user_id"
    return database().run(sql, ids=list(user_ids))


def record_lead(user_id: int, lead: LeadOutcome) -> None:
    """Record the outcome of the lead.

    Raises:
        DatabaseDown: nothing was recorded, or the outcome is unknown; safe to repeat.
    """
    database().run(_RECORD_LEAD, user_id=user_id, lead=lead)


def not_erased(user_ids: Collection[int]) -> list[int]:
    """The users with these ids that exist and are not erased: their ids, sorted.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    sql = """
        SELECT id FROM users
        WHERE id = ANY (CAST(:ids AS bigint[])) AND erased_at IS NULL ORDER BY id
    """
    return [int(row["id"]) for row in database().run(sql, ids=list(user_ids))]
