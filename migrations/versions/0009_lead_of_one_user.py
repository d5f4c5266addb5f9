"""A lead belongs to one user at most.

If several users share a lead, the one synced last keeps it: it is unknown whose lead it is, but the
CRM has that user's state. The others lose it and become failed, so that `leadline failed` and
`leadline reconcile` show them; those that wait for a reply keep waiting.

For a database in use: the index is built CONCURRENTLY, in addition to the one that it replaces, and
no lock is held for longer than a moment. Reply handlers of the previous version may give a lead to
a second user meanwhile; then the index can't be built, and the next run starts over.
"""

import structlog
from alembic import op
from sqlalchemy import text

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

log = structlog.get_logger()

INDEX, BEFORE = "users_unique_lead", "users_by_lead"
RULE = "INDEX CONCURRENTLY {name} ON users (bitrix_lead_id) WHERE bitrix_lead_id IS NOT NULL"

# A user whose lead has changed since it was read is left as it is.
TAKE_FROM_OTHERS = """
WITH shared AS (
    SELECT id, bitrix_lead_id AS lead_id, row_number() OVER (
        PARTITION BY bitrix_lead_id ORDER BY (
            SELECT max(settled_at) FROM events WHERE user_id = users.id AND state = 'synced'
        ) DESC NULLS LAST, applied_fence DESC NULLS LAST, id DESC
    ) AS rank
    FROM users WHERE bitrix_lead_id IN (
        SELECT bitrix_lead_id FROM users WHERE bitrix_lead_id IS NOT NULL
        GROUP BY bitrix_lead_id HAVING count(*) > 1
    )
), loser AS (
    SELECT users.id, lead_id FROM users JOIN shared ON shared.id = users.id
    WHERE rank > 1 AND bitrix_lead_id = lead_id
    ORDER BY users.id FOR NO KEY UPDATE OF users
)
UPDATE users SET bitrix_lead_id = NULL, synced_version = 0, applied_fence = NULL,
    sync_status = CASE sync_status WHEN 'waiting' THEN 'waiting' ELSE 'failed' END,
    sync_reason = CASE sync_status WHEN 'waiting' THEN NULL
        ELSE 'lead ' || lead_id || ' belongs to another user' END
FROM loser WHERE users.id = loser.id
RETURNING users.id, lead_id
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
        # An interrupted build leaves an invalid index behind.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        for user_id, lead_id in op.get_bind().execute(text(TAKE_FROM_OTHERS)):
            log.warning("lead belongs to another user", user_id=user_id, bitrix_lead_id=lead_id)
        op.execute(f"CREATE UNIQUE {RULE.format(name=INDEX)}")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {BEFORE}")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {BEFORE}")
        op.execute(f"CREATE {RULE.format(name=BEFORE)}")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
