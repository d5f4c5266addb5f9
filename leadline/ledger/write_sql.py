"""SQL that writes users with their events: any number of writes in one statement.

A group costs little more than a single write: most of the cost is the statement and its commit.
"""

from leadline.runtime.postgres.json_rows import as_json

#: How long an idempotency key returns its first response.
KEY_LIFETIME = "24 hours"
#: The unique index of external ids.
EXTERNAL_ID = "users_unique_external_id"
#: The primary key of idempotency keys.
IDEMPOTENCY_KEY = "idempotency_keys_pkey"
#: Maximum number of writes in one statement: beyond it, latency grows and the cost per write hardly
#: falls.
MAX_GROUP = 64

# leadline_present() returns history and originator_id, and raises after a fork of Postgres: run
# these with `run_in_current_history`.
_WRITES = """
WITH request AS (
    SELECT * FROM json_to_recordset(CAST(:writes AS json)) AS item (
        id bigint, expected_version bigint, full_name text, phone text, stage text,
        external_id text, fields jsonb, event_id uuid, action text, changed text,
        correlation_id text, traceparent text, caller text
    ), leadline_present()
)"""

_USER = (
    "id, full_name, phone, stage, fields, version, stage_version, synced_version, bitrix_lead_id"
)
_WRITE = "event_id, action, changed, correlation_id, traceparent, caller, history, originator_id"

# New users with equal content are interchangeable.
_COPY_NUMBER = "row_number() OVER (PARTITION BY full_name, phone, stage, fields) AS copy_number"

_CREATE = f"""{_WRITES}, created AS (
    INSERT INTO users (full_name, phone, stage, fields)
    SELECT full_name, phone, stage, fields FROM request
    RETURNING {_USER}
), written AS (
    SELECT created.*, {_WRITE}
    FROM (SELECT *, {_COPY_NUMBER} FROM created) AS created
    JOIN (SELECT {_WRITE}, full_name, phone, stage, fields, {_COPY_NUMBER} FROM request) AS request
    USING (full_name, phone, stage, copy_number)
    WHERE created.fields IS NOT DISTINCT FROM request.fields
)"""  # noqa: S608 - of constants; values are parameters

# Rows are locked in id order, so that statements cannot deadlock. The array makes the planner
# expect few rows: it assumes 100 for JSON and would scan a small table. A statement has at most one
# write of each user, and the lock re-reads the version: of two statements that expect the same one,
# the second changes nothing.
_CHANGE = f"""{_WRITES}, target AS (
    SELECT request.* FROM users JOIN request ON request.id = users.id
    WHERE users.id = ANY (ARRAY (SELECT id FROM request)) AND erased_at IS NULL
      AND (expected_version IS NULL OR version = expected_version)
    ORDER BY users.id FOR NO KEY UPDATE OF users {{locked}}
), written AS (
    UPDATE users SET
        full_name = COALESCE(target.full_name, users.full_name),
        phone = COALESCE(target.phone, users.phone),
        stage = COALESCE(target.stage, users.stage),
        external_id = COALESCE(target.external_id, users.external_id),
        fields = CASE WHEN target.fields IS NULL THEN users.fields
                      ELSE COALESCE(users.fields, jsonb_build_object()) || target.fields END,
        version = version + 1,
        stage_version = CASE WHEN target.stage IS NULL THEN stage_version ELSE version + 1 END,
        sync_status = 'waiting', sync_reason = NULL, sync_attempts = 0,
        updated_at = now()
    FROM target WHERE users.id = target.id
    RETURNING users.id, users.full_name, users.phone, users.stage, users.fields, version,
              stage_version, synced_version, bitrix_lead_id, users.external_id, {_WRITE}
)"""  # noqa: S608 - of constants; values are parameters

#: The events of the users in `written`.
EVENT = """, event AS (
    INSERT INTO events (id, user_id, version, action, full_name, phone, stage, fields, changed,
                        stage_version, correlation_id, traceparent, caller, due_at)
    SELECT event_id, id, version, action, full_name, phone, stage, fields, changed,
           CASE WHEN stage_version > synced_version THEN stage_version END,
           correlation_id, traceparent, caller, now() + make_interval(secs => :grace_s)
    FROM written
    RETURNING id AS event_id, user_id AS id, full_name, phone, stage, fields, version, action,
              changed, stage_version, occurred_at, correlation_id, traceparent
)"""

_KEY = """, key AS (
    INSERT INTO idempotency_keys (caller, key, fingerprint, event_id)
    SELECT :caller, :key, :fingerprint, event_id FROM event
)"""

# `stage_set`: the version that set the user's current stage.
_COLUMNS = "event.*, bitrix_lead_id, history, originator_id, written.stage_version AS stage_set"
_RESULT = as_json(f"SELECT {_COLUMNS} FROM event JOIN written USING (event_id)")  # noqa: S608 - of constants; values are parameters
_CHANGED = as_json(f"SELECT {_COLUMNS}, external_id FROM event JOIN written USING (event_id)")  # noqa: S608 - of constants; values are parameters

#: New users.
CREATE = _CREATE + EVENT + _RESULT
#: Changes; waits for row locks.
CHANGE = _CHANGE.format(locked="") + EVENT + _CHANGED
#: Changes; skips users locked by another statement. At most one change for each user.
CHANGE_SKIP_LOCKED = _CHANGE.format(locked="SKIP LOCKED") + EVENT + _CHANGED
#: One write under an idempotency key: an existing key rolls it all back.
CREATE_ONCE = _CREATE + EVENT + _KEY + _RESULT
CHANGE_ONCE = _CHANGE.format(locked="") + EVENT + _KEY + _CHANGED

#: The first response under an idempotency key; without an event if the request was an upsert.
FIRST_RESPONSE = as_json(f"""
SELECT encode(key.fingerprint, 'hex') AS fingerprint, event.user_id AS id,
       event.full_name, event.phone, event.stage, event.fields,
       event.version, CAST(NULL AS bigint) AS bitrix_lead_id, event.id AS event_id, event.action,
       event.changed, event.stage_version, event.occurred_at, event.correlation_id,
       event.traceparent, history, originator_id, users.external_id,
       users.erased_at IS NOT NULL AS is_erased
FROM leadline_present(), idempotency_keys AS key
LEFT JOIN events AS event ON event.id = key.event_id LEFT JOIN users ON users.id = event.user_id
WHERE key.caller = :caller AND key.key = :key
  AND key.created_at > now() - interval '{KEY_LIFETIME}'
""")  # noqa: S608 - of constants; values are parameters

#: Delete an expired key, so that it can be used again.
FORGET_EXPIRED = f"""
DELETE FROM idempotency_keys
WHERE caller = :caller AND key = :key AND created_at <= now() - interval '{KEY_LIFETIME}'
RETURNING key
"""  # noqa: S608 - of constants; values are parameters
