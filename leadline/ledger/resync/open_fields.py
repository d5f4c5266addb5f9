"""Resync users whose lead could not take a field, once the field fits the portal."""

from collections.abc import Collection

import structlog
from uuid_utils.compat import uuid7

from leadline.ledger.resync import resync_events
from leadline.runtime.postgres.pool import database
from leadline.runtime.telemetry import trace_context

log = structlog.get_logger()

#: The caller recorded in the ledger; no API key can have this name.
CALLER = "leadline fields"
#: Users in one step.
BATCH = 200

_FITTING = """
SELECT id FROM users
WHERE open_fields IS NOT NULL AND id > :after
  AND NOT string_to_array(open_fields, ',') && CAST(:misfits AS text[])
ORDER BY id LIMIT :batch
"""
_REQUESTED = """
WITH requested AS (
    SELECT user_id, version AS seen_version, event_id, false AS with_stage, true AS force,
           false AS even_waiting, CAST(NULL AS bigint) AS lead_id
    FROM unnest(CAST(:ids AS bigint[]), CAST(:event_ids AS uuid[])) AS fitting (user_id, event_id)
    JOIN users ON users.id = user_id, leadline_present()
)"""


def resync_fitting(after: int, misfits: Collection[str]) -> int | None:
    """Resync the next users after this id that have open fields, none of them a misfit.

    Returns the id to continue after; None once there are no more.

    Raises:
        DatabaseDown: nothing was entered, or the outcome is unknown; safe to repeat.
    """
    rows = database().run(_FITTING, after=after, misfits=sorted(misfits), batch=BATCH)
    ids = [int(row["id"]) for row in rows]
    if not ids:
        return None
    trace_context.set_caller(CALLER)
    resync_events.enter_events(_REQUESTED, ids=ids, event_ids=[str(uuid7()) for _ in ids])
    log.info("open fields fit the portal: users resynced", users=len(ids))
    return ids[-1] if len(ids) == BATCH else None
