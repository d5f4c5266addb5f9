"""The version that set a user's stage, for later events to carry.

An update that does not change the stage leaves the lead's stage as it is. If the message of an
earlier move was lost, the success of a later update would settle that move as well, although the
portal never saw it. So each later event says which version set the stage.
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

# Only for stages that may not have reached the CRM; for all others any synced version is right.
UNSYNCED = """
UPDATE users SET stage_version = unsynced.version FROM (
    SELECT user_id, max(version) AS version FROM events
    WHERE state IN ('open', 'failed') AND 'stage' = ANY (string_to_array(changed, ','))
    GROUP BY user_id
) AS unsynced WHERE unsynced.user_id = users.id AND stage_version < unsynced.version
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
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
        op.execute(UNSYNCED)


def downgrade() -> None:
    for table, _, _ in RULES:
        op.execute(f"ALTER TABLE {table} DROP COLUMN stage_version")
