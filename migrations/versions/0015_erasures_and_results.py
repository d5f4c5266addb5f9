"""Erasing a person, and results for other systems.

Erasing: the tombstone of a user, the receipt of each erasure, and the write itself.

A tombstone is a row of `users` with `erased_at` and no name, phone or stage. The rules of those
columns are relaxed for tombstones only, and a new rule keeps functions of the previous version from
writing a name into a tombstone.

The write that erases is a function of the owner: the login of delete-user may erase a user, and
change nothing else.

Results: the outcomes of writes, and what is still to be delivered to each endpoint. They are
collected from the ledger, so that no write pays for them.

For a database in use: no statement holds a lock for longer than a moment, and after an interruption
the migration can be run again. Functions of the previous version write and read as before.
"""

import structlog
from alembic import op
from sqlalchemy import text

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

log = structlog.get_logger()

#: Rules of `users` that are relaxed for tombstones: the name of the rule in 0001, the name of the
#: rule that replaces it, and its condition for all other users.
RELAXED = (
    ("users_full_name_check", "users_has_name", "char_length(full_name) BETWEEN 1 AND 100"),
    ("users_phone_check", "users_has_phone", r"phone ~ '^\+[1-9][0-9]{2,14}$'"),
    ("users_stage_check", "users_has_stage", "char_length(stage) BETWEEN 1 AND 50"),
    (
        "users_check1",
        "users_synced_has_lead",
        "sync_status <> 'synced' OR (synced_version = version AND bitrix_lead_id IS NOT NULL)",
    ),
)
EMPTY = (
    "users_erased_is_empty",
    "erased_at IS NULL OR (full_name || phone || stage = '' AND external_id IS NULL)",
)

RECEIPTS = """
CREATE TABLE IF NOT EXISTS erasures (
    user_id bigint PRIMARY KEY REFERENCES users (id),
    -- The version of the tombstone.
    version bigint NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT now(),
    -- Who asked: the name of a key, an operator or a process; NULL: without keys.
    caller text,
    -- How many rows and dead letters have forgotten the person.
    events integer NOT NULL,
    idempotency_keys integer NOT NULL,
    dead_letters integer NOT NULL DEFAULT 0,
    -- What became of the lead: kept, blanked, deleted, none. NULL: Bitrix24 has not answered.
    lead text,
    lead_at timestamptz,
    -- When dead letters are searched next; NULL: no more.
    sweep_at timestamptz DEFAULT now(),
    sweeps integer NOT NULL DEFAULT 0
)
"""
TO_SWEEP = """
CREATE INDEX IF NOT EXISTS erasures_to_sweep ON erasures (sweep_at) WHERE sweep_at IS NOT NULL
"""

RESULTS = (
    # How far results were collected: settled events by time, accepted ones by the time in their id.
    """
    CREATE TABLE IF NOT EXISTS results_cursor (
        is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
        settled_to timestamptz NOT NULL,
        accepted_to timestamptz NOT NULL
    )
    """,
    # Without name and phone. Each user's results are delivered in the order of `seq`.
    """
    CREATE TABLE IF NOT EXISTS results (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind text NOT NULL,
        event_id uuid NOT NULL,
        user_id bigint NOT NULL,
        version bigint NOT NULL,
        bitrix_lead_id bigint,
        reason text,
        is_erasure boolean NOT NULL,
        at timestamptz NOT NULL,
        collected_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (event_id, kind)
    )
    """,
    "CREATE INDEX IF NOT EXISTS results_by_age ON results (collected_at)",
    """
    CREATE TABLE IF NOT EXISTS result_deliveries (
        endpoint text NOT NULL,
        user_id bigint NOT NULL,
        seq bigint NOT NULL REFERENCES results (seq) ON DELETE CASCADE,
        attempts integer NOT NULL DEFAULT 0,
        -- NULL: given up; an operator may replay it.
        due_at timestamptz DEFAULT now(),
        -- Why the last attempt failed.
        problem text,
        PRIMARY KEY (endpoint, user_id, seq)
    )
    """,
    """
    CREATE INDEX IF NOT EXISTS result_deliveries_due ON result_deliveries (endpoint, due_at)
    WHERE due_at IS NOT NULL
    """,
    "CREATE INDEX IF NOT EXISTS result_deliveries_by_seq ON result_deliveries (seq)",
    # An endpoint that could not be reached, and when it is tried again.
    """
    CREATE TABLE IF NOT EXISTS result_endpoints (
        endpoint text PRIMARY KEY,
        failures integer NOT NULL,
        retry_at timestamptz NOT NULL,
        since timestamptz NOT NULL DEFAULT now(),
        problem text NOT NULL
    )
    """,
)
_RESULT_TABLES = "results_cursor, results, result_deliveries, result_endpoints"

# A user is locked before its events, as when a reply is settled. Older events are superseded by the
# tombstone, the newest state. Their idempotency keys lose their fingerprint, so that no request
# matches them, and stay, so that a repeated request does not create the person again. The trigger
# of 0007 queues the name for removal from searches.
ERASE = """
DECLARE
    former users%ROWTYPE;
BEGIN
    SELECT one.history, one.originator_id INTO history, originator_id
    FROM leadline_present() AS one;
    SELECT * INTO former FROM users WHERE id = person FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        outcome := 'unknown';
        RETURN;
    END IF;
    at_version := former.version;
    lead_id := former.bitrix_lead_id;
    IF former.erased_at IS NOT NULL THEN
        outcome := 'before';
        RETURN;
    ELSIF expected <> former.version THEN
        outcome := 'changed';
        RETURN;
    END IF;
    outcome := 'erased';
    at_version := former.version + 1;
    UPDATE idempotency_keys SET fingerprint = '' WHERE event_id IN (
        SELECT id FROM events WHERE user_id = person
    );
    GET DIAGNOSTICS forgot_keys = ROW_COUNT;
    UPDATE events SET full_name = '', phone = '', stage = '', journey = NULL, reason = NULL,
        state = CASE WHEN state IN ('open', 'failed') THEN 'superseded' ELSE state END,
        settled_at = COALESCE(settled_at, now()), due_at = NULL
    WHERE user_id = person;
    GET DIAGNOSTICS forgot_events = ROW_COUNT;
    UPDATE users SET full_name = '', phone = '', stage = '', external_id = NULL,
        version = at_version,
        sync_status = 'waiting', sync_reason = NULL, sync_attempts = 0,
        updated_at = now(), erased_at = now()
    WHERE id = person;
    INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed,
                        correlation_id, traceparent, caller, due_at)
    VALUES (event, person, at_version, 'update_card', '', '', '', 'erase',
            correlation, trace, asked_by, now() + make_interval(secs => grace_s));
    INSERT INTO erasures (user_id, version, caller, events, idempotency_keys)
    VALUES (person, at_version, asked_by, forgot_events, forgot_keys)
    ON CONFLICT (user_id) DO UPDATE SET version = at_version, erased_at = now(), lead = NULL,
        lead_at = NULL, sweep_at = now(), sweeps = 0;
    RETURN;
END
"""
#: The function with its parameters; then with their types only, as GRANT and DROP name it.
_SIGNATURE = (
    "leadline_erase(person bigint, expected bigint, event uuid, asked_by text, correlation text,"
    " trace text, grace_s float8, OUT outcome text, OUT at_version bigint, OUT lead_id bigint,"
    " OUT history bigint, OUT originator_id text, OUT forgot_events integer,"
    " OUT forgot_keys integer)"
)
_NAME = "leadline_erase(bigint, bigint, uuid, text, text, text, float8)"

_TABLES = "users, events, installation, alembic_version"
_HISTORY = "leadline_present(), leadline_history_after(bigint)"
GRANTS = {
    "leadline_erase": (
        f"SELECT ON {_TABLES}, erasures",
        # To mark events that RabbitMQ has confirmed.
        "UPDATE (published_at, sendings, due_at) ON events",
        f"EXECUTE ON FUNCTION {_HISTORY}",
        f"EXECUTE ON FUNCTION {_NAME}",
    ),
    "leadline_app": (
        "SELECT, UPDATE ON erasures",
        f"SELECT, INSERT, UPDATE, DELETE ON {_RESULT_TABLES}",
        f"EXECUTE ON FUNCTION {_NAME}",
    ),
    "leadline_settle": ("SELECT, UPDATE (lead, lead_at) ON erasures",),
    "leadline_read": (f"SELECT ON erasures, {_RESULT_TABLES}",),
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
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
        op.execute("SET lock_timeout = '5s'")
        op.execute("ALTER TABLE users ADD COLUMN IF NOT EXISTS erased_at timestamptz")
        for former, name, rule in RELAXED:
            _add(name, f"erased_at IS NOT NULL OR {rule}")
            op.execute(f"ALTER TABLE users DROP CONSTRAINT IF EXISTS {former}")
        _add(*EMPTY)
        op.execute(RECEIPTS)
        op.execute(TO_SWEEP)
        for statement in RESULTS:
            op.execute(statement)
        op.execute("RESET lock_timeout")
        for name in (*(name for _, name, _ in RELAXED), EMPTY[0]):
            op.execute(f"ALTER TABLE users VALIDATE CONSTRAINT {name}")
        schema = op.get_bind().execute(text("SELECT quote_ident(current_schema())")).scalar()
        op.execute(
            f"CREATE OR REPLACE FUNCTION {_SIGNATURE} LANGUAGE plpgsql SECURITY DEFINER"
            f" SET search_path = {schema}, pg_temp AS $${ERASE}$$"
        )
        op.execute(f"REVOKE ALL ON FUNCTION {_NAME} FROM PUBLIC")
        _grant()


def _add(name: str, rule: str) -> None:
    op.execute(f"ALTER TABLE users DROP CONSTRAINT IF EXISTS {name}")
    op.execute(f"ALTER TABLE users ADD CONSTRAINT {name} CHECK ({rule}) NOT VALID")


def _grant() -> None:
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
    op.execute(f"DROP FUNCTION {_NAME}")
    op.execute("DROP TABLE erasures")
    op.execute(f"DROP TABLE {_RESULT_TABLES}")
    # Users without a name did not exist before.
    erased = "SELECT id FROM users WHERE erased_at IS NOT NULL"
    op.execute(f"DELETE FROM events WHERE user_id IN ({erased})")  # noqa: S608 - of constants
    op.execute("DELETE FROM users WHERE erased_at IS NOT NULL")
    op.execute(f"ALTER TABLE users DROP CONSTRAINT {EMPTY[0]}")
    for former, name, rule in RELAXED:
        op.execute(f"ALTER TABLE users DROP CONSTRAINT {name}")
        op.execute(f"ALTER TABLE users ADD CONSTRAINT {former} CHECK ({rule})")
    op.execute("ALTER TABLE users DROP COLUMN erased_at")
    # The role stays: other databases of this server may use it.
    if op.get_bind().execute(text(EXISTS), {"role": "leadline_erase"}).scalar():
        op.execute(f"REVOKE ALL ON {_TABLES} FROM leadline_erase")
        op.execute(f"REVOKE ALL ON FUNCTION {_HISTORY} FROM leadline_erase")
