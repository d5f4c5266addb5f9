"""Further fields of users, as the field map describes them.

A user's values are in `users.fields`, and in `events.fields` as of each write; NULL: none. An
event without values, such as one of the previous version, leaves the fields of the lead as they
are. `users.open_fields` names the fields that the lead could not take.

The texts of further fields become search terms, of the kind `field`.

For a database in use: no statement holds a lock for longer than a moment, columns are added without
a rewrite, and after an interruption the migration can be run again. The previous version keeps
writing without the columns.
"""

import runpy
from collections.abc import Mapping
from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

COLUMNS = (
    "ALTER TABLE users ADD COLUMN IF NOT EXISTS fields jsonb",
    "ALTER TABLE users ADD COLUMN IF NOT EXISTS open_fields text",
    "ALTER TABLE events ADD COLUMN IF NOT EXISTS fields jsonb",
    "ALTER TABLE users_to_index ADD COLUMN IF NOT EXISTS fields jsonb",
)
EMPTY = ("users_erased_has_no_fields", "erased_at IS NULL OR fields IS NULL")

_RIGHTS = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp"

# Longer texts get no term: nothing longer is searched for, and index entries are limited.
_TERMS = """LATERAL (
                VALUES ('name', lower(full_name)), ('stage', stage), ('phone', phone)
                UNION ALL
                SELECT 'field', lower(value) FROM jsonb_each_text(COALESCE(fields, '{{}}'))
                WHERE char_length(value) BETWEEN 3 AND 100
            ) AS one (kind, term)"""

# As in 0014, with fields.
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
            SELECT was.id, was.full_name, was.stage, was.phone, was.fields,
                   became.sync_status AS status,
                   was.sync_status <> became.sync_status AS is_other_status,
                   (was.full_name, was.stage, was.phone)
                       <> (became.full_name, became.stage, became.phone)
                   OR was.fields IS DISTINCT FROM became.fields AS is_other_term
            FROM was JOIN became USING (id)
        ), queued AS (
            INSERT INTO users_to_index (user_id, full_name, stage, phone, fields)
            SELECT id, full_name, stage, phone, fields FROM changed WHERE is_other_term
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
        INSERT INTO users_to_index (user_id, full_name, stage, phone, fields)
        SELECT id, full_name, stage, phone, fields FROM was;
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
    " SET enable_hashjoin = off SET enable_mergejoin = off": f"""
DECLARE entries bigint := 0;
BEGIN
    IF pg_try_advisory_xact_lock(hashtext('index_users')) THEN
        WITH taken AS (
            DELETE FROM users_to_index WHERE (user_id, number) IN (
                SELECT user_id, number FROM users_to_index ORDER BY user_id, number LIMIT at_most
            )
            RETURNING user_id, full_name, stage, phone, fields
        ), was AS (
            SELECT DISTINCT kind, term, user_id FROM taken, {_TERMS.format()}
        ), now AS (
            SELECT DISTINCT kind, term, id AS user_id FROM users, {_TERMS.format()}
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
""",  # noqa: S608 - of constants
}

TRIGRAMS = "user_terms_field_trigrams"
OPEN = "users_with_open_fields"

# What erases a user also forgets its further fields.
_EVENTS = "UPDATE events SET full_name = '', phone = '', stage = '',"
_USERS = "UPDATE users SET full_name = '', phone = '', stage = '', external_id = NULL,"
FORGET = {
    _EVENTS: f"{_EVENTS} fields = NULL,",
    _USERS: f"{_USERS} fields = NULL, open_fields = NULL,",
}
_TRIGRAM_SCHEMA = """
SELECT quote_ident(nspname) FROM pg_extension
JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_trgm'
"""
_DEFINITION = "SELECT pg_get_functiondef(CAST('leadline_erase' AS regproc))"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
        op.execute("SET lock_timeout = '5s'")
        for statement in COLUMNS:
            op.execute(statement)
        _replace_functions(FUNCTIONS)
        _change_erase(FORGET)
        op.execute(f"ALTER TABLE users DROP CONSTRAINT IF EXISTS {EMPTY[0]}")
        op.execute(f"ALTER TABLE users ADD CONSTRAINT {EMPTY[0]} CHECK ({EMPTY[1]}) NOT VALID")
        op.execute("RESET lock_timeout")
        op.execute(f"ALTER TABLE users VALIDATE CONSTRAINT {EMPTY[0]}")
        # An interrupted build leaves an invalid index behind.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {OPEN}")
        op.execute(f"CREATE INDEX CONCURRENTLY {OPEN} ON users (id) WHERE open_fields IS NOT NULL")
        if schema := op.get_bind().execute(text(_TRIGRAM_SCHEMA)).scalar():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {TRIGRAMS}")
            op.execute(
                f"CREATE INDEX CONCURRENTLY {TRIGRAMS} ON user_terms USING gin"
                f" (term {schema}.gin_trgm_ops) WITH (fastupdate = off) WHERE kind = 'field'"
            )


def _replace_functions(functions: Mapping[str, str]) -> None:
    schema = op.get_bind().execute(text("SELECT quote_ident(current_schema())")).scalar()
    op.execute("BEGIN")
    for function, body in functions.items():
        op.execute(f"CREATE OR REPLACE FUNCTION {function.format(schema=schema)} AS $${body}$$")
    op.execute("COMMIT")


def _change_erase(replacements: Mapping[str, str]) -> None:
    """Change these passages of `leadline_erase`; one that was changed before is left alone."""
    connection = op.get_bind()
    definition = str(connection.execute(text(_DEFINITION)).scalar())
    for before, after in replacements.items():
        if after not in definition:
            if before not in definition:
                raise RuntimeError("leadline_erase is not the function of revision 0015")
            definition = definition.replace(before, after)
    connection.exec_driver_sql(definition)


def downgrade() -> None:
    op.execute(f"DROP INDEX IF EXISTS {TRIGRAMS}")
    op.execute("DELETE FROM user_terms WHERE kind = 'field'")
    earlier = runpy.run_path(str(Path(__file__).with_name("0014_search_and_bulk_jobs.py")))
    schema = op.get_bind().execute(text("SELECT quote_ident(current_schema())")).scalar()
    for function, body in earlier["FUNCTIONS"].items():
        op.execute(f"CREATE OR REPLACE FUNCTION {function.format(schema=schema)} AS $${body}$$")
    _change_erase({after: before for before, after in FORGET.items()})
    op.execute(f"ALTER TABLE users DROP CONSTRAINT {EMPTY[0]}")
    for table in ("users", "events", "users_to_index"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN fields")
    op.execute("ALTER TABLE users DROP COLUMN open_fields")
