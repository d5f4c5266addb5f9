"""Who wrote each event, and what operators have done.

For a database in use: the column is added without a rewrite, and code from before it goes on
writing events without it.
"""

from alembic import op
from sqlalchemy import text

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UP = (
    # The name of a key, an operator or a process; NULL: written without keys, or before this.
    "ALTER TABLE events ADD COLUMN IF NOT EXISTS caller text",
    """
    CREATE TABLE IF NOT EXISTS audit (
        id uuid PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT now(),
        caller text,
        action text NOT NULL,
        about jsonb NOT NULL DEFAULT '{}',
        -- NULL: it was begun, and whoever did it was lost before it could say what came of it.
        outcome text
    )
    """,
    "CREATE INDEX IF NOT EXISTS audit_by_age ON audit (at)",
)

GRANTS = {
    # What was entered stays as it is: later only what came of it is added.
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
