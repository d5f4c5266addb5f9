"""The installation that this database belongs to, and the present history of Postgres.

A failover to an asynchronous replica or a restore loses the newest transactions: afterwards the
same version of a user may name another state, and the same id another person. The one row of
`installation` holds the fingerprint of the database in which the present history began. Every
write compares it with the running database; where they differ, a new history begins first
(docs/decisions/0014-history-of-postgres.md).

For a database in use: no statement has to wait, and after an interruption the migration can be run
again.
"""

from alembic import op
from sqlalchemy import text

from leadline.settings import settings

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Leads of a database in use carry the previous default.
_FORMER_DEFAULT = "leadline"

TABLE = """
CREATE TABLE IF NOT EXISTS installation (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    originator_id text NOT NULL CHECK (char_length(originator_id) BETWEEN 1 AND 255),
    -- When the present history was recognised, in unix ms; greater in each later history.
    history bigint NOT NULL CHECK (history > 0),
    fingerprint text NOT NULL,
    -- The sweep after a fork: users up to `swept_to` have a resync event, `sweep_to` is the last.
    swept_to bigint NOT NULL DEFAULT 0,
    sweep_to bigint NOT NULL DEFAULT 0,
    -- The portal has no lead of ours without a user, or an operator has accepted those it has.
    is_portal_checked boolean NOT NULL DEFAULT false
)
"""

# With the owner's rights: functions may write neither the history nor the sequence of ids.
_RIGHTS = "SECURITY DEFINER SET search_path = {schema}, pg_temp"

FUNCTIONS = {
    # The timeline changes with a promotion, the database's oid with a restore into another
    # database, the table's oid with a restore in place. Not pg_control_checkpoint(): its timeline
    # is that of the last checkpoint, which may be older than the first writes after a promotion.
    f"leadline_fingerprint() RETURNS text LANGUAGE plpgsql STABLE {_RIGHTS}": """
BEGIN
    RETURN concat_ws('-',
        (SELECT system_identifier FROM pg_control_system()),
        substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        CAST('users'::regclass AS oid));
END
""",
    f"leadline_present(OUT history bigint, OUT originator_id text) LANGUAGE plpgsql STABLE"
    f" {_RIGHTS}": """
BEGIN
    SELECT one.history, one.originator_id INTO history, originator_id
    FROM installation AS one WHERE fingerprint = leadline_fingerprint();
    IF NOT FOUND THEN
        RAISE EXCEPTION 'Postgres has another history than Leadline knows'
            USING ERRCODE = 'LL001';
    END IF;
END
""",
    # Returns the present history; begins a new one if Postgres has forked, or if the present one is
    # not newer than `lost`. So callers that saw the same fork begin only one in all. Ids continue
    # far beyond any that the lost history may have assigned; setval takes effect at once, before
    # the first write of the new history.
    f"leadline_history_after(lost bigint, OUT history bigint, OUT is_new boolean)"
    f" LANGUAGE plpgsql {_RIGHTS}": """
DECLARE
    now_ms bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    UPDATE installation AS one SET
        history = GREATEST(one.history + 1, lost + 1, now_ms),
        fingerprint = leadline_fingerprint(),
        swept_to = 0, sweep_to = COALESCE((SELECT max(id) FROM users), 0)
    WHERE one.fingerprint <> leadline_fingerprint() OR one.history <= lost;
    is_new := FOUND;
    IF is_new THEN
        PERFORM leadline_reserve_ids((SELECT last_value FROM users_id_seq) + 1000000);
    END IF;
    SELECT one.history INTO STRICT history FROM installation AS one;
END
""",
    f"leadline_reserve_ids(last_id bigint) RETURNS void LANGUAGE plpgsql {_RIGHTS}": """
BEGIN
    PERFORM setval('users_id_seq', GREATEST(last_id, last_value)) FROM users_id_seq;
END
""",
    # Emptying all tables makes a new installation: its ids begin at 1 and must not match old leads.
    f"leadline_new_installation() RETURNS trigger LANGUAGE plpgsql {_RIGHTS}": """
BEGIN
    INSERT INTO installation (originator_id, history, fingerprint)
    VALUES ('leadline-' || left(CAST(gen_random_uuid() AS text), 8),
            extract(epoch FROM clock_timestamp()) * 1000, leadline_fingerprint());
    RETURN NULL;
END
""",
}

TRIGGER = """
CREATE OR REPLACE TRIGGER installation_truncate AFTER TRUNCATE ON installation
FOR EACH STATEMENT EXECUTE FUNCTION leadline_new_installation()
"""

FIRST = """
INSERT INTO installation (originator_id, history, fingerprint, is_portal_checked)
SELECT COALESCE(CAST(:chosen AS text),
                CASE WHEN is_in_use THEN CAST(:former AS text)
                     ELSE 'leadline-' || left(CAST(gen_random_uuid() AS text), 8) END),
       extract(epoch FROM clock_timestamp()) * 1000, leadline_fingerprint(), is_in_use
FROM (SELECT EXISTS (SELECT FROM users) AS is_in_use) AS found
ON CONFLICT DO NOTHING
"""

GRANTS = {
    "leadline_app": (
        "SELECT, UPDATE (swept_to, is_portal_checked) ON installation",
        "EXECUTE ON FUNCTION leadline_present()",
        "EXECUTE ON FUNCTION leadline_history_after(bigint), leadline_reserve_ids(bigint)",
    ),
    "leadline_read": ("SELECT ON installation",),
}


def upgrade() -> None:
    connection = op.get_bind()
    schema = connection.execute(text("SELECT quote_ident(current_schema())")).scalar()
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLE)
    for function, body in FUNCTIONS.items():
        op.execute(f"CREATE OR REPLACE FUNCTION {function.format(schema=schema)} AS $${body}$$")
        op.execute(f"REVOKE ALL ON FUNCTION {function.partition('(')[0]} FROM PUBLIC")
    op.execute(TRIGGER)
    first = {"chosen": settings().originator_id, "former": _FORMER_DEFAULT}
    connection.execute(text(FIRST), first)
    for role, grants in GRANTS.items():
        if connection.execute(text("SELECT to_regrole(:role)"), {"role": role}).scalar():
            for grant in grants:
                op.execute(f"GRANT {grant} TO {role}")


def downgrade() -> None:
    op.execute("DROP TABLE installation")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function.partition('(')[0]}")
