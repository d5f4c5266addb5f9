"""How each event fared on its way, and the indexes that find a user by name, phone or lead.

For a database in use: the column is added in a moment, indexes are built CONCURRENTLY, and whatever
is interrupted can be run again.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEXES = {
    # Prefixes, in any case of letters; text_pattern_ops, since order by locale knows no prefixes.
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
            # One that was interrupted is left behind, and is of no use.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} {what}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("ALTER TABLE events DROP COLUMN journey")
