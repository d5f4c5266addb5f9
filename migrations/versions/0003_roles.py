"""Two group roles, so that functions can neither drop nor alter their tables.

The functions' logins become members of `leadline_app`, those of people and reports of
`leadline_read`; the owner, who migrates, is in neither. Roles belong to the whole server: where
they do not exist and the owner may not create them, nothing is granted, and docs/postgres.md says
how to grant it later.
"""

import structlog
from alembic import op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

log = structlog.get_logger()

GRANTS = {
    "leadline_app": (
        "SELECT, INSERT, UPDATE ON users",
        # DELETE: the relay deletes expired rows. UPDATE of keys: it locks them first.
        "SELECT, INSERT, UPDATE, DELETE ON events, idempotency_keys, stages",
        "SELECT ON alembic_version",
    ),
    "leadline_read": ("SELECT ON users, events, stages, alembic_version",),
}

EXISTS = "SELECT 1 FROM pg_roles WHERE rolname = :role"
MAY_CREATE = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
# Another database of this server may be migrated at the same moment.
CREATE = """
DO $$ BEGIN
    CREATE ROLE {role} NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""


def upgrade() -> None:
    connection = op.get_bind()
    for role, grants in GRANTS.items():
        if not connection.execute(text(EXISTS), {"role": role}).scalar():
            if not connection.execute(text(MAY_CREATE)).scalar():
                log.warning(
                    "role not made, nothing granted to it", role=role, see="docs/postgres.md#roles"
                )
                continue
            op.execute(CREATE.format(role=role))
        for grant in grants:
            op.execute(f"GRANT {grant} TO {role}")


def downgrade() -> None:
    connection = op.get_bind()
    for role, grants in GRANTS.items():
        # The role stays: other databases of this server may use it.
        if connection.execute(text(EXISTS), {"role": role}).scalar():
            for grant in grants:
                op.execute(f"REVOKE {grant} FROM {role}")
