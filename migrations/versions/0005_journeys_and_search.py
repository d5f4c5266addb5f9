"""The attempt log of each event, and the indexes that find a user by name, phone or lead.

For a database in use: the column is added in a moment, indexes are built CONCURRENTLY, and after an
interruption the migration can be run again.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEXES = {
    # For prefixes, ignoring case; text_pattern_ops, since a locale's order does not support them.
    "users_by_name": "ON users (lower(full_name) text_pattern_ops)",
    "users_by_phone": "ON users (phone text_pattern_ops)",
    "users_by_lead": "ON users (bitrix_lead_id) WHERE bitrix_lead_id IS NOT NULL",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
        op.execute("SET lock_timeout = '5s'")
        op.execute("ALTER TABLE events ADD COLUMN IF NOT EXISTS journey jsonb")
        op.execute("RESET lock_timeout")
        for name, what in INDEXES.items():
            # An interrupted build leaves an invalid index behind.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} {what}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("ALTER TABLE events DROP COLUMN journey")
