"""The audit trail: the caller of each write, and operators' actions.

For a database in use: the column is added without a rewrite, and the previous version keeps writing
events without it.
"""

from alembic import op
from sqlalchemy import text

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UP = (
    # The name of a key, an operator or a process; NULL: written without keys, or before 0011.
    "ALTER TABLE events ADD COLUMN IF NOT EXISTS caller text",
    """
    CREATE TABLE IF NOT EXISTS audit (
        id uuid PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT now(),
        caller text,
        action text NOT NULL,
        about jsonb NOT NULL DEFAULT '{}',
        -- NULL: the action was begun, and its process ended before it could record the outcome.
        outcome text
    )
    """,
    "CREATE INDEX IF NOT EXISTS audit_by_age ON audit (at)",
)

GRANTS = {
    # An entry can't be changed, except that its outcome is added.
    "leadline_app": "SELECT, INSERT, UPDATE (about, outcome), DELETE ON audit",
    "leadline_read": "SELECT ON audit",
}


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)
    for role, grant in GRANTS.items():
        if op.get_bind().execute(text("SELECT to_regrole(:role)"), {"role": role}).scalar():
            op.execute(f"GRANT {grant} TO {role}")


def downgrade() -> None:
    op.execute("DROP TABLE IF EXISTS audit")
    op.execute("ALTER TABLE events DROP COLUMN IF EXISTS caller")
