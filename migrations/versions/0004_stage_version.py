"""Which write set a user's stage, so that a later one can carry it where its message was lost.

An update that leaves the stage alone does not say so of what came before: without this, one that
was applied would close the book over a move that nobody had ever seen.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

RULES = (
    ("users", "users_stage_was_set", "stage_version BETWEEN 1 AND version"),
    ("events", "events_stage_was_set", "stage_version BETWEEN 1 AND version"),
)

# Only where the CRM may not have had it; else any version that was synced will do.
OWED = """
UPDATE users SET stage_version = owed.version FROM (
    SELECT user_id, max(version) AS version FROM events
    WHERE state IN ('open', 'failed') AND 'stage' = ANY (string_to_array(changed, ','))
    GROUP BY user_id
) AS owed WHERE owed.user_id = users.id AND stage_version < owed.version
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # looking at the isolation level has made pg8000 begin a transaction
        op.execute("SET lock_timeout = '5s'")
        op.execute(
            "ALTER TABLE users ADD COLUMN IF NOT EXISTS stage_version bigint NOT NULL DEFAULT 1"
        )
        op.execute("ALTER TABLE events ADD COLUMN IF NOT EXISTS stage_version bigint")
        for table, name, rule in RULES:
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
            op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({rule}) NOT VALID")
        op.execute("RESET lock_timeout")
        for table, name, _ in RULES:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        op.execute(OWED)


def downgrade() -> None:
    for table, _, _ in RULES:
        op.execute(f"ALTER TABLE {table} DROP COLUMN stage_version")
