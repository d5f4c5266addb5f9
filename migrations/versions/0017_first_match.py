"""Plans of a first match, and users held for an operator.

A plan compares all users with all leads of a portal before anything is written
(docs/first-match.md). While it is read, `match_keys` finds leads by the last digits of their
phones; it is emptied once the plan is ready. The lines of a plan quote the fields that differ: an
erasure removes them.

`held_users` lists users for whom several leads or contacts may be meant. A row counts until a later
version of its user is synced, so that settling an event costs nothing more.

For a database in use: nothing here holds a lock for longer than a moment. After an interruption the
migration can be run again. The previous version ignores the new tables.
"""

from alembic import op
from sqlalchemy import text

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE IF NOT EXISTS match_plans (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        portal text NOT NULL,
        caller text,
        created_at timestamptz NOT NULL DEFAULT now(),
        -- What is read now, and the last lead, contact or user that was read.
        reading text NOT NULL DEFAULT 'leads'
            CHECK (reading IN ('leads', 'contacts', 'users', 'done')),
        position bigint NOT NULL DEFAULT 0,
        leads bigint NOT NULL DEFAULT 0,
        contacts bigint NOT NULL DEFAULT 0,
        -- Users that are linked and equal their lead: they have no line.
        linked bigint NOT NULL DEFAULT 0,
        ready_at timestamptz,
        applied_at timestamptz,
        CHECK ((reading = 'done') = (ready_at IS NOT NULL))
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS match_keys (
        plan_id bigint NOT NULL REFERENCES match_plans (id) ON DELETE CASCADE,
        -- The last digits of a phone.
        key integer NOT NULL,
        entity text NOT NULL CHECK (entity IN ('lead', 'contact')),
        entity_id bigint NOT NULL,
        PRIMARY KEY (plan_id, key, entity, entity_id)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS match_lines (
        plan_id bigint NOT NULL REFERENCES match_plans (id) ON DELETE CASCADE,
        number bigint GENERATED ALWAYS AS IDENTITY,
        kind text NOT NULL CHECK (kind IN ('create', 'update', 'match', 'ambiguous', 'foreign')),
        -- NULL: a lead of our origin whose user this database does not have.
        user_id bigint REFERENCES users (id) ON DELETE CASCADE,
        version bigint NOT NULL DEFAULT 0,
        lead_id bigint,
        -- All leads that may be meant, and contacts with the phone.
        lead_ids bigint[] NOT NULL DEFAULT '{}',
        contact_ids bigint[] NOT NULL DEFAULT '{}',
        -- By field: as the lead has it, as the user has it. NULL: forgotten.
        changes jsonb,
        -- NULL: not applied.
        outcome text CHECK (outcome IN ('entered', 'changed')),
        PRIMARY KEY (plan_id, number)
    )
    """,
    "CREATE INDEX IF NOT EXISTS match_lines_by_user ON match_lines (user_id)",
    """
    CREATE TABLE IF NOT EXISTS held_users (
        user_id bigint PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
        version bigint NOT NULL,
        reason text NOT NULL,
        lead_ids bigint[] NOT NULL DEFAULT '{}',
        contact_ids bigint[] NOT NULL DEFAULT '{}',
        since timestamptz NOT NULL DEFAULT now()
    )
    """,
)
# With the rights of the owner: the login that erases may not read plans.
FORGET = """
BEGIN
    UPDATE match_lines SET changes = NULL WHERE user_id = NEW.id;
    DELETE FROM held_users WHERE user_id = NEW.id;
    RETURN NULL;
END
"""
_PLANS = "match_plans, match_keys, match_lines"
GRANTS = {
    "leadline_app": f"SELECT, INSERT, UPDATE, DELETE ON {_PLANS}, held_users",
    "leadline_settle": "SELECT, INSERT, UPDATE ON held_users",
    "leadline_read": f"SELECT ON {_PLANS}, held_users",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
        op.execute("SET lock_timeout = '5s'")
        for statement in TABLES:
            op.execute(statement)
        schema = op.get_bind().execute(text("SELECT quote_ident(current_schema())")).scalar()
        op.execute(
            "CREATE OR REPLACE FUNCTION forget_matches() RETURNS trigger LANGUAGE plpgsql"
            f" SECURITY DEFINER SET search_path = {schema}, pg_temp AS $${FORGET}$$"
        )
        op.execute("REVOKE ALL ON FUNCTION forget_matches() FROM PUBLIC")
        op.execute("BEGIN")
        op.execute("DROP TRIGGER IF EXISTS users_forget_matches ON users")
        # Only statements that name the column pay for it: no write of a client does.
        op.execute(
            "CREATE TRIGGER users_forget_matches AFTER UPDATE OF erased_at ON users"
            " FOR EACH ROW WHEN (NEW.erased_at IS NOT NULL) EXECUTE FUNCTION forget_matches()"
        )
        op.execute("COMMIT")
        for role, grant in GRANTS.items():
            if op.get_bind().execute(text("SELECT to_regrole(:role)"), {"role": role}).scalar():
                op.execute(f"GRANT {grant} TO {role}")
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    op.execute("DROP TRIGGER users_forget_matches ON users")
    op.execute("DROP FUNCTION forget_matches()")
    op.execute("DROP TABLE held_users, match_lines, match_keys, match_plans")
