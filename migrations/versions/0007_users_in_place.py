"""Search terms of users move to tables of their own, so that a write touches fewer pages.

While no indexed column changes, Postgres puts a row's new version on the same page and changes no
index (see "Heap-Only Tuples", HOT, in its documentation). Name, stage and status change often; with
their indexes, every write of a user changed six index pages. In a large table none of these was
touched since the last checkpoint, so each goes to the WAL in full
(docs/decisions/0013-users-in-place.md).

Triggers maintain the tables that replace these indexes:

- `unsynced_users` lists the users that wait or have failed. Every write updates it, which is cheap:
  they are few, on few pages.
- `user_terms` holds names and stages. The relay updates it later for many users at once
  (`index_users`). Users written since are in `users_to_index` with their previous name and stage,
  and are candidates of every search.

For a database in use: writes wait for a moment while the triggers are created; filling `user_terms`
blocks none. After an interruption the migration can be run again.
"""

from alembic import op
from sqlalchemy import text

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = {
    "unsynced_users": "status text, user_id bigint, PRIMARY KEY (status, user_id)",
    # Terms are compared byte by byte, so that the primary key finds those with a given beginning.
    "user_terms": """
        kind text, term text COLLATE "C", user_id bigint, PRIMARY KEY (kind, term, user_id)
    """,
    # An entry without name and stage: the user is new.
    "users_to_index": """
        user_id bigint, number bigint GENERATED ALWAYS AS IDENTITY, full_name text, stage text,
        PRIMARY KEY (user_id, number)
    """,
}

# With the owner's rights: a login that may write users needs none on these tables.
_RIGHTS = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp"

# With planner settings, since plans are cached and may have been made for empty tables.
FUNCTIONS = {
    f"users_were_written() RETURNS trigger {_RIGHTS} SET enable_seqscan = off"
    " SET enable_nestloop = off": """
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO users_to_index (user_id) SELECT id FROM became;
        INSERT INTO unsynced_users
        SELECT sync_status, id FROM became WHERE sync_status <> 'synced' ON CONFLICT DO NOTHING;
    ELSIF TG_OP = 'UPDATE' THEN
        WITH changed AS (
            SELECT was.id, was.full_name, was.stage, became.sync_status AS status,
                   was.sync_status <> became.sync_status AS is_other_status,
                   (was.full_name, was.stage) <> (became.full_name, became.stage) AS is_other_term
            FROM was JOIN became USING (id)
        ), queued AS (
            INSERT INTO users_to_index (user_id, full_name, stage)
            SELECT id, full_name, stage FROM changed WHERE is_other_term
        ), gone AS (
            DELETE FROM unsynced_users AS known WHERE status IN ('waiting', 'failed')
                AND user_id = ANY (ARRAY (SELECT id FROM changed WHERE is_other_status))
                AND NOT EXISTS (
                    SELECT FROM changed WHERE id = known.user_id AND status = known.status
                )
        )
        INSERT INTO unsynced_users
        SELECT status, id FROM changed WHERE is_other_status AND status <> 'synced'
        ON CONFLICT DO NOTHING;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO users_to_index (user_id, full_name, stage) SELECT id, full_name, stage FROM was;
        DELETE FROM unsynced_users
        WHERE status IN ('waiting', 'failed') AND user_id = ANY (ARRAY (SELECT id FROM was));
    ELSE
        DELETE FROM unsynced_users; -- not TRUNCATE: these tables may be in the same command
        DELETE FROM user_terms;
        DELETE FROM users_to_index;
    END IF;
    RETURN NULL;
END
""",
    # Returns how many entries it processed. Only one call works at a time: two would not see each
    # other's terms, and one could keep a term that the other has just made obsolete.
    f"index_users(at_most integer) RETURNS bigint {_RIGHTS} SET enable_seqscan = off"
    " SET enable_hashjoin = off SET enable_mergejoin = off": """
DECLARE entries bigint := 0;
BEGIN
    IF pg_try_advisory_xact_lock(hashtext('index_users')) THEN
        WITH taken AS (
            DELETE FROM users_to_index WHERE (user_id, number) IN (
                SELECT user_id, number FROM users_to_index ORDER BY user_id, number LIMIT at_most
            )
            RETURNING user_id, full_name, stage
        ), was AS (
            SELECT DISTINCT kind, term, user_id FROM taken,
            LATERAL (VALUES ('name', lower(full_name)), ('stage', stage)) AS one (kind, term)
        ), now AS (
            SELECT kind, term, id AS user_id FROM users,
            LATERAL (VALUES ('name', lower(full_name)), ('stage', stage)) AS one (kind, term)
            WHERE id = ANY (ARRAY (SELECT user_id FROM taken))
        ), gone AS (
            DELETE FROM user_terms USING (TABLE was EXCEPT TABLE now) AS past
            WHERE user_terms.kind = past.kind AND user_terms.term = past.term
              AND user_terms.user_id = past.user_id
        ), entered AS (
            INSERT INTO user_terms TABLE now ON CONFLICT DO NOTHING
        )
        SELECT count(*) FROM taken INTO entries;
    END IF;
    RETURN entries;
END
""",
}

TRIGGERS = {
    "INSERT": "REFERENCING NEW TABLE AS became",
    "UPDATE": "REFERENCING OLD TABLE AS was NEW TABLE AS became",
    "DELETE": "REFERENCING OLD TABLE AS was",
    "TRUNCATE": "",
}

GRANT = f"SELECT ON {', '.join(TABLES)}"

# In the order of the primary key, which makes the insert faster. Users written meanwhile are in
# `users_to_index`, which the relay processes only after this insert has committed: otherwise the
# insert would enter obsolete terms that the relay has already removed.
FILL = """
INSERT INTO user_terms
SELECT 'name', lower(full_name), id FROM users UNION ALL SELECT 'stage', stage, id FROM users
ORDER BY 1, 2, 3
ON CONFLICT DO NOTHING
"""

INDEXES = {
    "users_by_stage": "ON users (stage, id)",
    "users_by_name": "ON users (lower(full_name) text_pattern_ops)",
    "users_not_synced": "ON users (sync_status, id) WHERE sync_status <> 'synced'",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
        op.execute("SET lock_timeout = '5s'")
        op.execute("BEGIN")
        _make()
        op.execute("COMMIT")
        op.execute("RESET lock_timeout")
        op.execute("BEGIN")
        op.execute("SELECT pg_advisory_xact_lock(hashtext('index_users'))")
        op.execute(FILL)
        op.execute("COMMIT")
        op.execute("ANALYZE user_terms")
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def _make() -> None:
    """Create tables and triggers, and enter the users that are not synced; all of it or nothing."""
    op.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
    for table, columns in TABLES.items():
        op.execute(f"DROP TABLE IF EXISTS {table}")
        op.execute(f"CREATE TABLE {table} ({columns})")
    schema = op.get_bind().execute(text("SELECT quote_ident(current_schema())")).scalar()
    for function, body in FUNCTIONS.items():
        op.execute(f"CREATE OR REPLACE FUNCTION {function.format(schema=schema)} AS $${body}$$")
    for event, tables in TRIGGERS.items():
        # Not dropped first: the lock for that would deadlock with writers that wait for ours.
        op.execute(
            f"CREATE OR REPLACE TRIGGER users_{event.lower()} AFTER {event} ON users {tables}"
            " FOR EACH STATEMENT EXECUTE FUNCTION users_were_written()"
        )
    op.execute(
        "INSERT INTO unsynced_users SELECT sync_status, id FROM users WHERE sync_status <> 'synced'"
    )
    # Room for a row's new version on the page of the old one.
    op.execute("ALTER TABLE users SET (fillfactor = 85)")
    for role in ("leadline_app", "leadline_read"):
        if op.get_bind().execute(text("SELECT to_regrole(:role)"), {"role": role}).scalar():
            op.execute(f"GRANT {GRANT} TO {role}")


def downgrade() -> None:
    for event in TRIGGERS:
        op.execute(f"DROP TRIGGER users_{event.lower()} ON users")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function.partition('(')[0]}")
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
    for name, what in INDEXES.items():
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} {what}")
    op.execute("ALTER TABLE users RESET (fillfactor)")
