"""Calls to Bitrix24 with their answers, correlation ids for searches, bulk jobs without texts.

Calls: a row for each settled event with the commands of its attempts and their answers. They have
the person's name and phone, so an erasure deletes them, and the relay after some days.

Correlation ids: the relay enters them here from the ledger, some time after a write; an index of
`events` would slow down each write and each of its updates.

Bulk jobs: the reason that a job is about was stored as text, which may quote a person; from now on
its hash is stored.

For a database in use: nothing here holds a lock for longer than a moment. After an interruption the
migration can be run again. Functions of the previous version store no calls, and work as before.
"""

from alembic import op
from sqlalchemy import text

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLES = (
    # Old ones are deleted in the order of event ids, which begin with the time of the write.
    """
    CREATE TABLE IF NOT EXISTS event_calls (
        event_id uuid PRIMARY KEY,
        -- JSON, but no JSON of a sender is parsed here: see `messages.attempt_log`.
        calls text NOT NULL
    )
    """,
    # By hash: the ids are long, and `events` has them in full.
    """
    CREATE TABLE IF NOT EXISTS event_correlations (
        correlation bigint NOT NULL,
        event_id uuid NOT NULL,
        PRIMARY KEY (correlation, event_id)
    )
    """,
    # To count the results that were given up recently.
    "ALTER TABLE result_deliveries ADD COLUMN IF NOT EXISTS given_up_at timestamptz",
    """
    CREATE INDEX IF NOT EXISTS result_deliveries_given_up ON result_deliveries (given_up_at)
    WHERE due_at IS NULL
    """,
    # The events below this id are in `event_correlations`.
    """
    CREATE TABLE IF NOT EXISTS event_correlations_to (
        is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
        event_id uuid NOT NULL
    )
    """,
)
#: Enters the events up to a minute ago; the relay enters the newer ones.
FILL = """
WITH present AS (
    SELECT CAST(lpad(to_hex(CAST(extract(epoch FROM now() - interval '1 minute') * 1000 AS bigint)),
                     12, '0') || repeat('0', 20) AS uuid) AS event_id
), begun AS (
    INSERT INTO event_correlations_to (event_id) SELECT event_id FROM present
    ON CONFLICT DO NOTHING RETURNING event_id
)
INSERT INTO event_correlations
SELECT hashtextextended(correlation_id, 0), id FROM events, begun WHERE events.id < begun.event_id
ORDER BY 1, 2 ON CONFLICT DO NOTHING
"""

# The hashes are those of `DeadLetter.reason_id`, and of `users.failures` as before.
JOBS = """
UPDATE bulk_jobs SET selection = CASE
    WHEN kind = 'resync' THEN (selection - 'reason_id')
        || jsonb_build_object('reason_ids', jsonb_build_array(selection ->> 'reason_id'))
    ELSE (selection - 'reason') || jsonb_build_object('reason_id',
        left(encode(sha256(convert_to(selection ->> 'reason', 'UTF8')), 'hex'), 16)) END
WHERE selection ->> 'reason' IS NOT NULL
   OR (kind = 'resync' AND selection ->> 'reason_id' IS NOT NULL)
"""

_KEYS = "    GET DIAGNOSTICS forgot_keys = ROW_COUNT;\n"
#: What erases a user also forgets its calls.
_FORGET_CALLS = """
    DELETE FROM event_calls WHERE event_id IN (SELECT id FROM events WHERE user_id = person);
"""
FORGET = _KEYS + _FORGET_CALLS.removeprefix("\n")
_DEFINITION = "SELECT pg_get_functiondef(CAST('leadline_erase' AS regproc))"

#: Replaces `events_settled`. It contains the user as well, so that finding whose events were
#: settled reads the index only.
SETTLED = "events_settled_users"

GRANTS = {
    "leadline_app": (
        "SELECT, INSERT, UPDATE, DELETE ON event_calls, event_correlations, event_correlations_to",
    ),
    "leadline_settle": ("SELECT, INSERT, UPDATE ON event_calls",),
    "leadline_read": ("SELECT ON event_correlations, event_correlations_to",),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
        op.execute("SET lock_timeout = '5s'")
        for table in TABLES:
            op.execute(table)
        _change_erase(_KEYS, FORGET)
        op.execute(JOBS)
        for role, grants in GRANTS.items():
            if op.get_bind().execute(text("SELECT to_regrole(:role)"), {"role": role}).scalar():
                for grant in grants:
                    op.execute(f"GRANT {grant} TO {role}")
        op.execute("RESET lock_timeout")
        # An interrupted build leaves an invalid index behind.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {SETTLED}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY {SETTLED} ON events (settled_at) INCLUDE (user_id)"
            " WHERE settled_at IS NOT NULL"
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_settled")
        op.execute(FILL)
        op.execute("ANALYZE event_correlations")


def _change_erase(before: str, after: str) -> None:
    """Change this passage of `leadline_erase`, unless it was changed before."""
    connection = op.get_bind()
    definition = str(connection.execute(text(_DEFINITION)).scalar())
    if after in definition and before in after:
        return
    if before not in definition:
        raise RuntimeError("leadline_erase is not the function of revision 0015")
    connection.exec_driver_sql(definition.replace(before, after))


def downgrade() -> None:
    op.execute("CREATE INDEX events_settled ON events (settled_at) WHERE settled_at IS NOT NULL")
    op.execute(f"DROP INDEX {SETTLED}")
    _change_erase(FORGET, _KEYS)
    op.execute("ALTER TABLE result_deliveries DROP COLUMN given_up_at")
    for table in ("event_calls", "event_correlations", "event_correlations_to"):
        op.execute(f"DROP TABLE {table}")
    # Jobs of a reason would be about everything to the previous version.
    op.execute(
        "UPDATE bulk_jobs SET state = 'cancelled', ended_at = now()"
        " WHERE state = 'running' AND (selection - 'user_ids' - 'ids') <> '{}'"
    )
    op.execute("UPDATE bulk_jobs SET selection = selection - 'reason_ids' - 'reason_id' - 'since'")
