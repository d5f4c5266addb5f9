"""The fencing token under which a user's newest version was applied.

The token shows whether an older version was applied later.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
        op.execute("SET lock_timeout = '5s'")
        op.execute("ALTER TABLE users ADD COLUMN IF NOT EXISTS applied_fence bigint")
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    op.execute("ALTER TABLE users DROP COLUMN applied_fence")
