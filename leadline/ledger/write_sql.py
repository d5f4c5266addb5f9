"""The writes of users in SQL, each with its events: any number of writes in one statement.

Those that come together cost little more than one: most of it is the statement and its commit.
"""

#: How long an idempotency key answers with its first answer.
KEY_LIFETIME = "24 hours"
#: Writes in one statement: more make it longer for each and hardly cheaper for all.
AT_MOST = 64


def as_json(select: str) -> str:
    """This query's rows as one JSON text, `found`: ten times as fast to read as rows of columns."""
    return f"SELECT COALESCE(json_agg(found), '[]')::text AS found FROM ({select}) AS found"  # noqa: S608 - of constants; values are parameters


# It refuses where Postgres has forked: run what is made of it by `run_in_current_history`.
_ASKED = """
WITH asked AS (
    SELECT * FROM json_to_recordset(CAST(:writes AS json)) AS one (
        id bigint, expected_version bigint, full_name text, phone text, stage text,
        event_id uuid, action text, changed text, correlation_id text, traceparent text,
        caller text
    ), leadline_present()
)"""

_USER = "id, full_name, phone, stage, version, stage_version, synced_version, bitrix_lead_id"
_WRITE = "event_id, action, changed, correlation_id, traceparent, caller, history, originator_id"

# Which of several new users of the same content is whose does not matter.
_ALIKE = "row_number() OVER (PARTITION BY full_name, phone, stage) AS alike"

_CREATE = f"""{_ASKED}, made AS (
    INSERT INTO users (full_name, phone, stage) SELECT full_name, phone, stage FROM asked
    RETURNING {_USER}
), written AS (
    SELECT made.*, {_WRITE}
    FROM (SELECT *, {_ALIKE} FROM made) AS made
    JOIN (SELECT {_WRITE}, full_name, phone, stage, {_ALIKE} FROM asked) AS asked
    USING (full_name, phone, stage, alike)
)"""  # noqa: S608 - of constants; values are parameters

# Locked in the order of ids, so that statements never wait for each other in a ring. The arrays say
# that there are few: the planner takes JSON for 100 rows, and would read a small table as a whole.
# A precondition holds for its own write only: the row that passed it under the lock is applied, and
# no other write of the same user.
_CHANGE = f"""{_ASKED}, held AS (
    SELECT asked.* FROM users JOIN asked ON asked.id = users.id
    WHERE users.id = ANY (ARRAY (SELECT id FROM asked))
      AND (expected_version IS NULL OR version = expected_version)
    ORDER BY users.id FOR NO KEY UPDATE OF users {{locked}}
), written AS (
    UPDATE users SET
        full_name = COALESCE(held.full_name, users.full_name),
        phone = COALESCE(held.phone, users.phone),
        stage = COALESCE(held.stage, users.stage),
        version = version + 1,
        stage_version = CASE WHEN held.stage IS NULL THEN stage_version ELSE version + 1 END,
        sync_status = 'waiting', sync_reason = NULL, sync_attempts = 0,
        updated_at = now()
    FROM held WHERE users.id = held.id
    RETURNING users.id, users.full_name, users.phone, users.stage, version, stage_version,
              synced_version, bitrix_lead_id, {_WRITE}
)"""  # noqa: S608 - of constants; values are parameters

_EVENT = """, event AS (
    INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed,
                        stage_version, correlation_id, traceparent, caller, due_at)
    SELECT event_id, id, version, action, full_name, phone, stage, changed,
           CASE WHEN stage_version > synced_version THEN stage_version END,
           correlation_id, traceparent, caller, now() + make_interval(secs => :grace_s)
    FROM written
    RETURNING id AS event_id, user_id AS id, full_name, phone, stage, version, action, changed,
              stage_version, occurred_at, correlation_id, traceparent
)"""

_KEY = """, key AS (
    INSERT INTO idempotency_keys (caller, key, fingerprint, event_id)
    SELECT :caller, :key, :fingerprint, event_id FROM event
)"""

_RESULT = as_json("""
SELECT event.*, bitrix_lead_id, history, originator_id, written.stage_version AS stage_set
FROM event JOIN written USING (event_id)
""")

#: New users.
CREATE = _CREATE + _EVENT + _RESULT
#: Changes, one after the other where they are of the same user.
CHANGE = _CHANGE.format(locked="") + _EVENT + _RESULT
#: Changes of users that nobody else is changing; of one user one at most, the others are left out.
CHANGE_AT_ONCE = _CHANGE.format(locked="SKIP LOCKED") + _EVENT + _RESULT
#: One write under an idempotency key: a key that exists rolls all of it back.
CREATE_ONCE = _CREATE + _EVENT + _KEY + _RESULT
CHANGE_ONCE = _CHANGE.format(locked="") + _EVENT + _KEY + _RESULT

#: The first answer under an idempotency key.
REPEATED = as_json(f"""
SELECT encode(key.fingerprint, 'hex') AS fingerprint, event.user_id AS id,
       event.full_name, event.phone, event.stage,
       event.version, CAST(NULL AS bigint) AS bitrix_lead_id, event.id AS event_id, event.action,
       event.changed, event.stage_version, event.occurred_at, event.correlation_id,
       event.traceparent, history, originator_id
FROM leadline_present(),
     idempotency_keys AS key JOIN events AS event ON event.id = key.event_id
WHERE key.caller = :caller AND key.key = :key
  AND key.created_at > now() - interval '{KEY_LIFETIME}'
""")  # noqa: S608 - of constants; values are parameters

#: Its time is over: it may be used again.
FORGET_EXPIRED = f"""
DELETE FROM idempotency_keys
WHERE caller = :caller AND key = :key AND created_at <= now() - interval '{KEY_LIFETIME}'
RETURNING key
"""  # noqa: S608 - of constants; values are parameters
