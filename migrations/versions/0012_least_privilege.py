"""Least privilege: each function may write only what it has to.

`leadline_app` was the only role that may write. Two roles with fewer rights are added:
`leadline_write` for the functions that clients call (may record no outcome, and delete nothing but
expired idempotency keys), and `leadline_settle` for reply_handler (may create no user and no key).
`leadline_app` stays for the relay, the console and the command line.

Postgres lets every login execute a new function. For those that only triggers and the relay need,
this right is revoked.
"""

import structlog
from alembic import op
from sqlalchemy import text

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

log = structlog.get_logger()

_HISTORY = "EXECUTE ON FUNCTION leadline_present(), leadline_history_after(bigint)"

GRANTS = {
    "leadline_write": (
        "SELECT, INSERT, UPDATE ON users",
        # To mark events that RabbitMQ has confirmed.
        "SELECT, INSERT, UPDATE (published_at, sendings, due_at) ON events",
        "SELECT, INSERT, UPDATE, DELETE ON idempotency_keys",
        "SELECT ON stages, installation, alembic_version",
        _HISTORY,
    ),
    "leadline_settle": (
        "SELECT, UPDATE ON users",
        # INSERT: the resync event of a user whose lead was overwritten by an older version.
        "SELECT, INSERT, UPDATE ON events",
        "SELECT ON installation, alembic_version",
        _HISTORY,
    ),
    "leadline_app": ("EXECUTE ON FUNCTION index_users(integer)",),
}

#: Functions that PUBLIC may no longer execute; for those of 0008, it never could.
INTERNAL = ("users_were_written()", "index_users(integer)")

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
    for function in INTERNAL:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
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
    for function in INTERNAL:
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO PUBLIC")
    for role, grants in GRANTS.items():
        # The role stays: other databases of this server may use it.
        if connection.execute(text(EXISTS), {"role": role}).scalar():
            for grant in grants:
                op.execute(f"REVOKE {grant} FROM {role}")
