"""When a result was replayed: it is given up three days after that.

In earlier versions a result older than three days was given up again right after its replay, unless
the first tick delivered it.

For a database in use: the column is added without a rewrite. After an interruption the migration
can be run again; the previous version ignores the column.
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
        op.execute("SET lock_timeout = '5s'")
        op.execute("ALTER TABLE result_deliveries ADD COLUMN IF NOT EXISTS replayed_at timestamptz")
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    op.execute("ALTER TABLE result_deliveries DROP COLUMN replayed_at")
