"""Many new users by one statement, each with its event, each at most once."""

import hashlib
from collections.abc import Sequence

from uuid_utils.compat import uuid7

from leadline.runtime import context
from leadline.runtime.database import database
from leadline.users.model import NewUser

#: In whose name idempotency keys are kept; no caller of the HTTP API has such a one.
CALLER = "leadline import"

_ENTER = """
WITH line AS (
    SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:names AS text[]), CAST(:phones AS text[]),
                         CAST(:stages AS text[]), CAST(:event_ids AS uuid[])) WITH ORDINALITY
        AS line (key, full_name, phone, stage, event_id, position)
), fresh AS (
    SELECT row_number() OVER (ORDER BY position) AS rank, line.* FROM line
    WHERE NOT EXISTS (
        SELECT FROM idempotency_keys AS known WHERE known.caller = :caller AND known.key = line.key
    )
), written AS (
    INSERT INTO users (full_name, phone, stage)
    SELECT full_name, phone, stage FROM fresh ORDER BY rank
    RETURNING id, full_name, phone, stage
), ranked AS (
    -- Any pairing of users with event ids and keys would do: neither says anything of its user.
    SELECT row_number() OVER (ORDER BY id) AS rank, written.* FROM written
), event AS (
    INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed,
                        correlation_id, traceparent, due_at)
    SELECT fresh.event_id, ranked.id, 1, 'create_card', ranked.full_name, ranked.phone,
           ranked.stage, 'full_name,phone,stage', :correlation_id, :traceparent, now()
    FROM ranked JOIN fresh USING (rank)
)
INSERT INTO idempotency_keys (caller, key, fingerprint, event_id)
SELECT :caller, key, :fingerprint, event_id FROM fresh
RETURNING 1 AS one
"""


def create(users: Sequence[tuple[str, NewUser]]) -> int:
    """Store these users, each under a key; returns how many were new.

    A key that was used within the last 24 hours stands for a user that is there already.

    Raises:
        DatabaseDown: nothing was stored, or nobody can say; doing it again is harmless.
    """
    trace = context.current()
    rows = database().run(
        _ENTER,
        keys=[key for key, _ in users],
        names=[user.full_name for _, user in users],
        phones=[user.phone for _, user in users],
        stages=[user.stage for _, user in users],
        event_ids=[str(uuid7()) for _ in users],
        caller=CALLER,
        fingerprint=hashlib.sha256(CALLER.encode()).digest(),
        correlation_id=trace.correlation_id,
        traceparent=trace.traceparent,
    )
    return len(rows)
