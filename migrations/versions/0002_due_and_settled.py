"""Settled events are no longer due; constraints exclude contradictory rows.

For a database in use: nothing here holds a lock for longer than a moment. Indexes are built
CONCURRENTLY. Constraints are added NOT VALID, which checks new rows only, and validated afterwards
under a lock that lets reads and writes pass. Rows are changed in batches. After an interruption the
migration can be run again.

From the first constraint on, reply handlers of the previous version can't settle events: their
replies wait in the delay queues for the new ones.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: The constraints: table, name, condition.
RULES = (
    # An event is due if the relay has to process it; a failed one only if its error is transient.
    ("events", "events_open_is_due", "state <> 'open' OR due_at IS NOT NULL"),
    ("events", "events_settled_is_not_due", "due_at IS NULL OR state IN ('open', 'failed')"),
    ("events", "events_sendings_published", "(sendings = 0) = (published_at IS NULL)"),
    ("events", "events_attempts_settled", "state <> 'open' OR attempts = 0"),
    ("events", "events_changed_something", "changed <> ''"),
    ("users", "users_synced_is_newest", "(sync_status = 'synced') = (synced_version = version)"),
    ("users", "users_waiting_is_fresh", "sync_status <> 'waiting' OR sync_attempts = 0"),
)

FORGET_DUE = """
DO $$
DECLARE last uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    LOOP
        WITH part AS (
            SELECT id FROM events WHERE id > last ORDER BY id LIMIT 10000
        ), changed AS (
            UPDATE events SET due_at = NULL FROM part
            WHERE events.id = part.id AND state <> 'open' AND due_at IS NOT NULL
        )
        SELECT max(id::text)::uuid FROM part INTO last;
        EXIT WHEN last IS NULL;
        COMMIT;
    END LOOP;
END $$
"""

INDEXES = {
    # Events that the relay has to publish: few rows, however long the table is.
    "events_due": "ON events (due_at) WHERE due_at IS NOT NULL",
    # Events that the relay may delete, the oldest first.
    "events_settled": "ON events (settled_at) WHERE settled_at IS NOT NULL",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # Reading the isolation level has made pg8000 begin a transaction.
        op.execute("COMMIT")
        # A statement that waits for a lock blocks all that queue behind it: the migration rather
        # fails, and is run again.
        op.execute("SET lock_timeout = '5s'")
        op.execute("ALTER TABLE events ALTER due_at DROP NOT NULL")
        for table, name, rule in RULES:
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
            op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({rule}) NOT VALID")
        # Each event is changed twice: by default vacuum would wait for a fifth of the table.
        op.execute("ALTER TABLE events SET (autovacuum_vacuum_scale_factor = 0.02)")
        op.execute("RESET lock_timeout")
        op.execute(FORGET_DUE)
        for table, name, _ in RULES:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        for name, what in INDEXES.items():
            # An interrupted build leaves an invalid index behind.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} {what}")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_open")


def downgrade() -> None:
    op.execute("ALTER TABLE events RESET (autovacuum_vacuum_scale_factor)")
    op.execute("CREATE INDEX events_open ON events (due_at) WHERE state = 'open'")
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    for table, name, _ in RULES:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    op.execute("UPDATE events SET due_at = settled_at WHERE due_at IS NULL")
    op.execute("ALTER TABLE events ALTER due_at SET NOT NULL")
