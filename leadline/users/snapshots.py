"""Snapshots of users, to compare with their leads and to resync."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from leadline.mapping.targets import Value
from leadline.runtime.postgres.pool import database

# If the write that set the stage failed, a different stage in the CRM is drift and not a manual
# change. The stage of version 1 is always synced if the lead exists: the lead was created with it.
_SELECT = """
SELECT id, full_name, phone, stage, fields, version, bitrix_lead_id AS lead_id,
       sync_status AS status,
       sync_status = 'failed' AND stage_version > GREATEST(synced_version, 1) AS is_stage_unsynced
FROM users
"""
_COUNT = "SELECT count(*) AS users FROM users WHERE erased_at IS NULL"
_OWNERS = """
SELECT id, bitrix_lead_id FROM users WHERE bitrix_lead_id = ANY (CAST(:lead_ids AS bigint[]))
"""


@dataclass(frozen=True, slots=True)
class UserSnapshot:
    """A user as stored in Postgres."""

    id: int
    full_name: str
    phone: str
    stage: str
    version: int
    lead_id: int | None
    status: Literal["waiting", "synced", "failed"]
    #: The last write that set the stage has not reached the CRM.
    is_stage_unsynced: bool
    #: Stored values of further fields by name.
    fields: Mapping[str, Value] | None = None


def after(user_id: int, limit: int) -> list[UserSnapshot]:
    """The next users by id, without erased ones.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    sql = f"{_SELECT} WHERE erased_at IS NULL AND id > :after ORDER BY id LIMIT :limit"
    return [UserSnapshot(**row) for row in database().run(sql, after=user_id, limit=limit)]


def by_ids(user_ids: Sequence[int]) -> dict[int, UserSnapshot]:
    """The users with these ids, by id, erased ones included; unknown ids are left out.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    sql = f"{_SELECT} WHERE id = ANY (CAST(:ids AS bigint[]))"
    return {row["id"]: UserSnapshot(**row) for row in database().run(sql, ids=list(user_ids))}


def owners_of(lead_ids: Sequence[int]) -> dict[int, int]:
    """The users that have these leads, by lead id.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    rows = database().run(_OWNERS, lead_ids=list(lead_ids))
    return {row["bitrix_lead_id"]: row["id"] for row in rows}


def count() -> int:
    """The number of users that are not erased.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return int(database().run(_COUNT)[0]["users"])
