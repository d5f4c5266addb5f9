"""Callers' own ids of users, outcomes of batches under an idempotency key, and names of stages.

For a database in use: columns are added without a rewrite, the index is built CONCURRENTLY, and
after an interruption the migration can be run again. The previous version keeps writing without the
columns.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INDEX = "users_unique_external_id"
RULES = (
    ("users", "users_external_id_length", "char_length(external_id) BETWEEN 1 AND 255"),
    # The response of a single write is read from its event, that of a batch from `outcomes`.
    ("idempotency_keys", "idempotency_keys_response", "num_nonnulls(event_id, outcomes) = 1"),
)

UP = (
    "ALTER TABLE users ADD COLUMN IF NOT EXISTS external_id text",
    # For each item its outcome, and its user's id, version and stage: no personal data.
    "ALTER TABLE idempotency_keys ADD COLUMN IF NOT EXISTS outcomes jsonb",
    "ALTER TABLE idempotency_keys ALTER event_id DROP NOT NULL",
    "ALTER TABLE stages ADD COLUMN IF NOT EXISTS name text",
)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
        op.execute("SET lock_timeout = '5s'")
        for statement in UP:
            op.execute(statement)
        for table, name, rule in RULES:
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
            op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({rule}) NOT VALID")
        op.execute("RESET lock_timeout")
        for table, name, _ in RULES:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        # An interrupted build leaves an invalid index behind.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        op.execute(
            f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON users (external_id)"
            " WHERE external_id IS NOT NULL"
        )


def downgrade() -> None:
    op.execute(f"DROP INDEX {INDEX}")
    op.execute("ALTER TABLE users DROP COLUMN external_id")
    op.execute("ALTER TABLE stages DROP COLUMN name")
    op.execute("DELETE FROM idempotency_keys WHERE event_id IS NULL")
    op.execute("ALTER TABLE idempotency_keys DROP COLUMN outcomes")
    op.execute("ALTER TABLE idempotency_keys ALTER event_id SET NOT NULL")
