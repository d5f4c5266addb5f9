"""Manual holds, by portal: they must survive a loss of Redis' data."""

from alembic import op
from sqlalchemy import text

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

GRANTS = {
    "leadline_app": "SELECT, INSERT, UPDATE, DELETE ON held_portals",
    "leadline_read": "SELECT ON held_portals",
}


def upgrade() -> None:
    op.execute(
        "CREATE TABLE IF NOT EXISTS held_portals"
        " (portal text PRIMARY KEY, since timestamptz NOT NULL, reason text NOT NULL)"
    )
    for role, grant in GRANTS.items():
        if op.get_bind().execute(text("SELECT to_regrole(:role)"), {"role": role}).scalar():
            op.execute(f"GRANT {grant} TO {role}")


def downgrade() -> None:
    op.execute("DROP TABLE held_portals")
