"""SQL of an upsert: any number of users in one statement, one for each external id."""

from leadline.ledger.upsert.outcome import ACCEPTED
from leadline.ledger.write_sql import EVENT, KEY_LIFETIME
from leadline.runtime.postgres.json_rows import as_json

# leadline_present() raises after a fork of Postgres: run this with `run_in_current_history`.
_REQUEST = """
WITH request AS (
    SELECT * FROM json_to_recordset(CAST(:items AS json)) AS item (
        position integer, event_id uuid, external_id text, full_name text, phone text, stage text,
        fields jsonb, new_fields jsonb, expected_version bigint, must_exist boolean,
        must_be_new boolean
    ), leadline_present()
)"""

# So that statements cannot deadlock, rows are locked in id order; then new ones are inserted in the
# order of external ids, and only then are locked rows updated. The array: see `write_sql`. A stage
# is set only if it differs: a stage set in the CRM survives a client that always sends the one it
# knows.
_LOCKED = """, locked AS (
    SELECT request.*, users.id, users.version AS was_version, users.stage AS was_stage,
           users.fields AS were_fields,
           concat_ws(',', CASE WHEN users.full_name <> request.full_name THEN 'full_name' END,
                          CASE WHEN users.phone <> request.phone THEN 'phone' END,
                          CASE WHEN users.stage <> request.stage THEN 'stage' END,
                          CASE WHEN request.fields IS NOT NULL THEN (
                              SELECT string_agg(key, ',' ORDER BY key)
                              FROM jsonb_each(request.fields)
                              WHERE users.fields -> key IS DISTINCT FROM value
                          ) END) AS changed
    FROM users JOIN request ON request.external_id = users.external_id
    WHERE users.external_id = ANY (ARRAY (SELECT external_id FROM request))
    ORDER BY users.id FOR NO KEY UPDATE OF users
), known AS (
    SELECT locked.*, CASE WHEN must_be_new THEN 'taken'
                          WHEN expected_version <> was_version THEN 'stale'
                          WHEN changed = '' THEN 'unchanged' ELSE 'changed' END AS kind
    FROM locked
), fresh AS (
    SELECT request.*, COALESCE(stage, :first_stage) AS new_stage,
           COALESCE(external_id, '') AS own_id,
           row_number() OVER (
               PARTITION BY external_id, full_name, phone, COALESCE(stage, :first_stage),
                            new_fields
               ORDER BY position
           ) AS copy_number
    FROM request
    WHERE NOT must_exist
      AND NOT EXISTS (SELECT FROM locked WHERE locked.external_id = request.external_id)
)"""

# New users with equal content are interchangeable, unless they have an external id. `own_id` is
# that id, or '' for none, since NULLs compare as unequal. The count makes Postgres insert all users
# before it updates any: another statement that inserts the external id of an existing user, whom it
# does not see yet, fails at once if the row is locked, but waits if it was updated; if this one
# waited for one of its inserts, both would be in a deadlock.
_WRITTEN = """, inserted AS (
    INSERT INTO users (full_name, phone, stage, fields, external_id)
    SELECT full_name, phone, new_stage, new_fields, external_id FROM fresh
    ORDER BY external_id, position
    RETURNING id, full_name, phone, stage, fields, version, stage_version, synced_version,
              bitrix_lead_id, external_id
), created AS (
    SELECT new.id, new.full_name, new.phone, new.stage, new.fields, version, stage_version,
           synced_version, bitrix_lead_id, new.external_id, position, event_id,
           'create_card' AS action,
           concat_ws(',', 'full_name,phone,stage', CASE WHEN new.fields IS NOT NULL THEN (
               SELECT string_agg(key, ',' ORDER BY key) FROM jsonb_object_keys(new.fields) AS key
           ) END) AS changed, history, originator_id
    FROM (
        SELECT *, COALESCE(external_id, '') AS own_id,
               row_number() OVER (
                   PARTITION BY external_id, full_name, phone, stage, fields ORDER BY id
               ) AS copy_number
        FROM inserted
    ) AS new
    JOIN fresh ON (new.own_id, new.full_name, new.phone, new.stage, new.copy_number)
        = (fresh.own_id, fresh.full_name, fresh.phone, fresh.new_stage, fresh.copy_number)
        AND new.fields IS NOT DISTINCT FROM fresh.new_fields
), updated AS (
    UPDATE users SET full_name = known.full_name, phone = known.phone,
        stage = COALESCE(known.stage, users.stage), version = users.version + 1,
        fields = CASE WHEN known.fields IS NULL THEN users.fields
                      ELSE COALESCE(users.fields, jsonb_build_object()) || known.fields END,
        stage_version = CASE WHEN known.stage <> users.stage THEN users.version + 1
                             ELSE users.stage_version END,
        sync_status = 'waiting', sync_reason = NULL, sync_attempts = 0, updated_at = now()
    FROM known
    WHERE users.id = known.id AND kind = 'changed' AND (SELECT count(*) >= 0 FROM inserted)
    RETURNING users.id, users.full_name, users.phone, users.stage, users.fields, users.version,
              users.stage_version, synced_version, bitrix_lead_id, users.external_id, position,
              event_id, 'update_card' AS action, known.changed, history, originator_id
), written AS (
    SELECT *, CAST(:correlation_id AS text) AS correlation_id,
           CAST(:traceparent AS text) AS traceparent, CAST(:written_by AS text) AS caller
    FROM (TABLE updated UNION ALL TABLE created) AS stored
)"""

_OUTCOME = """, outcome AS (
    SELECT position, CASE action WHEN 'create_card' THEN 'created' ELSE 'changed' END AS kind,
           id, version, full_name, phone, stage, fields, external_id
    FROM written
    UNION ALL
    SELECT position, kind, id, was_version, full_name, phone, was_stage, were_fields, external_id
    FROM known WHERE kind <> 'changed'
    UNION ALL
    SELECT position, 'missing', NULL, NULL, full_name, phone, stage, fields, external_id
    FROM request WHERE must_exist
      AND NOT EXISTS (SELECT FROM locked WHERE locked.external_id = request.external_id)
)"""

# Nothing is stored for a rejected request: the client may correct it under the same key.
_KEY = f""", key AS (
    INSERT INTO idempotency_keys (caller, key, fingerprint, outcomes)
    SELECT :caller, :key, :fingerprint, jsonb_agg(jsonb_build_object(
        'position', position, 'kind', kind, 'id', id, 'version', version, 'stage', stage))
    FROM outcome HAVING bool_and(kind IN {ACCEPTED})
)"""  # noqa: S608 - of constants; values are parameters

_RESULT = as_json("""
SELECT outcome.*, event_id, event.action, event.changed, event.stage_version, occurred_at,
       event.correlation_id, event.traceparent, bitrix_lead_id, history, originator_id,
       written.stage_version AS stage_set
FROM outcome LEFT JOIN written USING (position) LEFT JOIN event USING (event_id)
""")

UPSERT = _REQUEST + _LOCKED + _WRITTEN + EVENT + _OUTCOME + _RESULT
#: Under an idempotency key: an existing key rolls it all back.
UPSERT_ONCE = _REQUEST + _LOCKED + _WRITTEN + EVENT + _OUTCOME + _KEY + _RESULT

#: The outcomes under an idempotency key; NULL if it was used for a single write.
FIRST_OUTCOMES = as_json(f"""
SELECT encode(fingerprint, 'hex') AS fingerprint, outcomes FROM idempotency_keys
WHERE caller = :caller AND key = :key AND created_at > now() - interval '{KEY_LIFETIME}'
""")  # noqa: S608 - of constants; values are parameters

#: Users' further fields as of a version; an unchanged user's old event may be gone.
FIELDS_OF_VERSIONS = """
SELECT users.id, COALESCE(events.fields, users.fields) AS fields
FROM unnest(CAST(:ids AS bigint[]), CAST(:versions AS bigint[])) AS written (id, version)
JOIN users ON users.id = written.id
LEFT JOIN events ON events.user_id = written.id AND events.version = written.version
"""
