"""Search by any part of a name or phone, and operators' bulk jobs.

Phones become search terms like names and stages, so that a write changes no further index of
`users`. Two trigram indexes find parts of a term
(https://www.postgresql.org/docs/current/pgtrgm.html). Their extension is one of Postgres' contrib
modules, trusted since Postgres 13; where it can't be created, searches work without the indexes,
but slower (docs/postgres.md).

For a database in use: nothing here holds a lock for longer than a moment; filling `user_terms`
blocks no write. After an interruption the migration can be run again. The previous version keeps
working: it ignores the new terms and the new table.
"""

import structlog
from alembic import op
from sqlalchemy import text

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

log = structlog.get_logger()

# As in 0007, with phones.
_RIGHTS = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp"

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
            SELECT was.id, was.full_name, was.stage, was.phone, became.sync_status AS status,
                   was.sync_status <> became.sync_status AS is_other_status,
                   (was.full_name, was.stage, was.phone)
                       <> (became.full_name, became.stage, became.phone) AS is_other_term
            FROM was JOIN became USING (id)
        ), queued AS (
            INSERT INTO users_to_index (user_id, full_name, stage, phone)
            SELECT id, full_name, stage, phone FROM changed WHERE is_other_term
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
        INSERT INTO users_to_index (user_id, full_name, stage, phone)
        SELECT id, full_name, stage, phone FROM was;
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
    f"index_users(at_most integer) RETURNS bigint {_RIGHTS} SET enable_seqscan = off"
    " SET enable_hashjoin = off SET enable_mergejoin = off": """
DECLARE entries bigint := 0;
BEGIN
    IF pg_try_advisory_xact_lock(hashtext('index_users')) THEN
        WITH taken AS (
            DELETE FROM users_to_index WHERE (user_id, number) IN (
                SELECT user_id, number FROM users_to_index ORDER BY user_id, number LIMIT at_most
            )
            RETURNING user_id, full_name, stage, phone
        ), was AS (
            SELECT DISTINCT kind, term, user_id FROM taken,
            LATERAL (VALUES ('name', lower(full_name)), ('stage', stage), ('phone', phone))
                AS one (kind, term)
        ), now AS (
            SELECT kind, term, id AS user_id FROM users,
            LATERAL (VALUES ('name', lower(full_name)), ('stage', stage), ('phone', phone))
                AS one (kind, term)
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

# See FILL of 0007.
FILL = """
INSERT INTO user_terms SELECT 'phone', phone, id FROM users ORDER BY 2, 3 ON CONFLICT DO NOTHING
"""

#: Parts of terms, by kind. Without `fastupdate`, which makes writes faster and searches slower:
#: only the relay writes here.
TRIGRAMS = {
    f"user_terms_{kind}_trigrams": "ON user_terms USING gin (term {schema}.gin_trgm_ops)"
    f" WITH (fastupdate = off) WHERE kind = '{kind}'"
    for kind in ("name", "phone")
}

JOBS = """
CREATE TABLE IF NOT EXISTS bulk_jobs (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    caller text,
    kind text NOT NULL CHECK (kind IN ('resync', 'replay', 'discard')),
    -- What the job is about: user ids, a reason, or ids of dead letters; empty: everything.
    selection jsonb NOT NULL,
    -- How many users or dead letters were selected, processed, and changed.
    total bigint NOT NULL CHECK (total >= 0),
    done bigint NOT NULL DEFAULT 0 CHECK (done >= 0),
    changed bigint NOT NULL DEFAULT 0 CHECK (changed >= 0),
    -- Where the next step begins.
    cursor bigint NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'cancelled')),
    -- Why the last step failed; it is repeated.
    problem text,
    claimed_until timestamptz,
    ended_at timestamptz,
    CHECK ((state = 'running') = (ended_at IS NULL))
)
"""
GRANTS = {
    "leadline_app": "SELECT, INSERT, UPDATE, DELETE ON bulk_jobs",
    "leadline_read": "SELECT ON bulk_jobs",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
        op.execute("SET lock_timeout = '5s'")
        op.execute("ALTER TABLE users_to_index ADD COLUMN IF NOT EXISTS phone text")
        schema = op.get_bind().execute(text("SELECT quote_ident(current_schema())")).scalar()
        op.execute("BEGIN")
        for function, body in FUNCTIONS.items():
            op.execute(f"CREATE OR REPLACE FUNCTION {function.format(schema=schema)} AS $${body}$$")
        op.execute("COMMIT")
        op.execute(JOBS)
        for role, grant in GRANTS.items():
            if op.get_bind().execute(text("SELECT to_regrole(:role)"), {"role": role}).scalar():
                op.execute(f"GRANT {grant} TO {role}")
        op.execute("RESET lock_timeout")
        op.execute("BEGIN")
        op.execute("SELECT pg_advisory_xact_lock(hashtext('index_users'))")
        op.execute(FILL)
        op.execute("COMMIT")
        if trigrams := _schema_of_trigrams():
            for name, what in TRIGRAMS.items():
                # An interrupted build leaves an invalid index behind.
                op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
                op.execute(f"CREATE INDEX CONCURRENTLY {name} {what.format(schema=trigrams)}")
        op.execute("ANALYZE user_terms")


def _schema_of_trigrams() -> str | None:
    """Create the extension where the owner may; returns its schema, None without the extension.

    In a schema of its own: Postgres lets every login execute the functions of an extension.
    """
    op.execute("""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') THEN
                CREATE SCHEMA IF NOT EXISTS leadline_trigrams;
                CREATE EXTENSION pg_trgm SCHEMA leadline_trigrams;
            END IF;
        EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN NULL;
        END $$
    """)
    found = (
        op.get_bind()
        .execute(
            text(
                "SELECT quote_ident(nspname) FROM pg_extension"
                " JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_trgm'"
            )
        )
        .scalar()
    )
    if found is None:
        log.warning("no pg_trgm: searches for a part of a text are slow", see="docs/postgres.md")
    return found


def downgrade() -> None:
    op.execute("DROP TABLE bulk_jobs")
    for name in TRIGRAMS:
        op.execute(f"DROP INDEX IF EXISTS {name}")
    op.execute("DELETE FROM user_terms WHERE kind = 'phone'")
