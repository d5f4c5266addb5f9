"""Users as a comparison with the CRM needs them: their state, and what is known of their lead."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from leadline.runtime.postgres.pool import database

# A stage that a failed write set has never been agreed on: the lead is not to be blamed for it. The
# first version's is never owed to a lead that is there: it was created with it.
_KEPT = """
SELECT id, full_name, phone, stage, version, bitrix_lead_id AS lead_id, sync_status AS status,
       sync_status = 'failed' AND stage_version > GREATEST(synced_version, 1) AS owes_stage
FROM users
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A user as the ledger keeps it."""

    id: int
    full_name: str
    phone: str
    stage: str
    version: int
    lead_id: int | None
    status: Literal["waiting", "synced", "failed"]
    #: A write set the stage, and none that did so has reached the CRM.
    owes_stage: bool


def after(user_id: int, limit: int, *, only_failed: bool = False) -> list[Kept]:
    """The next users by id; `only_failed`: those of them whose last write has failed.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    which, by = "", "id"
    if only_failed:
        which, by = "JOIN unsynced_users ON user_id = id AND status = 'failed'", "user_id"
    sql = f"{_KEPT} {which} WHERE {by} > :after ORDER BY {by} LIMIT :limit"
    return [Kept(**row) for row in database().run(sql, after=user_id, limit=limit)]


def these(user_ids: Sequence[int]) -> dict[int, Kept]:
    """These users by id; those that don't exist are left out.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    sql = f"{_KEPT} WHERE id = ANY (CAST(:ids AS bigint[]))"
    return {row["id"]: Kept(**row) for row in database().run(sql, ids=list(user_ids))}


def count() -> int:
    """How many there are.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return int(database().run("SELECT count(*) AS users FROM users")[0]["users"])
