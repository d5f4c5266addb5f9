"""The answers to events in SQL: any number of them in one statement, one for each user.

Those that come together cost little more than one: most of it is the statement and its commit.
"""

from leadline.messages.delivery import LOOK

_ANSWERS = """
WITH answer AS (
    SELECT * FROM json_to_recordset(CAST(:answers AS json)) AS one (
        event_id uuid, user_id bigint, state text, reason text, attempts integer, lead_id bigint,
        fence bigint, is_passing boolean, journey jsonb
    )
)"""

# Bitrix24's side may forget which version it has written: a message that comes late then takes the
# lead back to an older state. The fencing tokens tell, as they grow with each lease: the older of
# two versions was written last. What was looked at before it was written is right by itself.
_OVERWRITES = f"""
settled.state = 'synced' AND COALESCE(CASE
    WHEN settled.version < settled.before THEN settled.fence > settled.applied_fence
    ELSE settled.fence < settled.applied_fence AND settled.changed <> '{LOOK}'
END, false)"""

# Whether the older write, which came last, can have written a stage: only one whose event carries a
# stage later than the first. Else the stage that the lead has was agreed on, or a person's choice.
_OVERWRITES_STAGE = f"""
CASE WHEN NOT ({_OVERWRITES}) THEN false
     WHEN settled.version < settled.before THEN COALESCE(settled.stage_version, 1) > 1
     ELSE COALESCE((
         SELECT COALESCE(events.stage_version, 1) > 1 FROM events
         WHERE events.user_id = users.id AND events.version = settled.before
     ), true) END"""

# A failure may still turn into a success (a late answer, a later try), never the other way round;
# an older reply never touches what a newer version has set. The users are locked first: replies of
# one user come several at once, and would deadlock over its events; and in the order of ids, so
# that statements never wait for each other in a ring. Each user is there once, or Postgres would
# apply one of its answers and leave the others out.
# Due stays only what failed for a passing reason: its next try is when an answer was due anyway,
# at a distance that has grown with each sending. So a repeated reply changes nothing here either.
# The arrays say that there are few: the planner takes JSON for 100 rows, and would read a small
# table as a whole.
SETTLE = f"""{_ANSWERS}, owner AS (
    SELECT id, synced_version, applied_fence FROM users
    WHERE id = ANY (ARRAY (SELECT user_id FROM answer))
    ORDER BY id FOR NO KEY UPDATE
), settled AS (
    UPDATE events SET
        state = answer.state, reason = answer.reason, attempts = answer.attempts,
        settled_at = CASE WHEN events.state = answer.state THEN settled_at ELSE now() END,
        journey = COALESCE(answer.journey, events.journey),
        due_at = CASE WHEN is_passing
            AND now() < COALESCE(settled_at, now()) + make_interval(secs => :retry_for_s)
            THEN due_at END
    FROM owner JOIN answer ON answer.user_id = owner.id
    WHERE events.id = ANY (ARRAY (SELECT event_id FROM answer))
      AND events.id = answer.event_id AND events.user_id = owner.id
      AND events.state IN ('open', 'failed')
    RETURNING events.user_id, version, changed, stage_version,
        answer.state, answer.reason, answer.attempts, lead_id, fence,
        owner.synced_version AS before, applied_fence,
        settled_at = now() AS is_change,
        CAST(extract(epoch FROM now() - occurred_at) AS float) AS age_s
), older AS (
    UPDATE events SET state = 'superseded', settled_at = now(), due_at = NULL
    FROM settled
    WHERE settled.state = 'synced' AND events.user_id = settled.user_id
      AND events.version < settled.version AND events.state = 'open'
    RETURNING events.user_id
)
UPDATE users SET
    bitrix_lead_id = CASE WHEN settled.version >= users.synced_version
        THEN COALESCE(settled.lead_id, users.bitrix_lead_id) ELSE users.bitrix_lead_id END,
    applied_fence = CASE WHEN settled.state = 'synced' AND settled.version >= settled.before
        THEN GREATEST(users.applied_fence, settled.fence) ELSE users.applied_fence END,
    synced_version = CASE WHEN settled.state = 'failed' THEN users.synced_version
        ELSE GREATEST(users.synced_version, settled.version) END,
    sync_status = CASE WHEN settled.version < users.version THEN users.sync_status
        WHEN settled.state = 'failed' THEN 'failed' ELSE 'synced' END,
    sync_reason = CASE WHEN settled.version < users.version THEN users.sync_reason
        ELSE settled.reason END,
    sync_attempts = CASE WHEN settled.version < users.version THEN users.sync_attempts
        ELSE settled.attempts END
FROM settled WHERE users.id = settled.user_id
RETURNING users.id, users.version, {_OVERWRITES} AS overwrites,
    {_OVERWRITES_STAGE} AS overwrites_stage, settled.is_change, settled.age_s,
    (SELECT count(*) FROM older WHERE older.user_id = users.id) AS older
"""

REPEATED = f"""{_ANSWERS}
SELECT users.id, users.version, {_OVERWRITES} AS overwrites,
    {_OVERWRITES_STAGE} AS overwrites_stage
FROM answer JOIN users ON users.id = answer.user_id, LATERAL (
    SELECT answer.state, fence, events.version, changed, events.stage_version,
        synced_version AS before, applied_fence
    FROM events WHERE events.id = answer.event_id AND events.user_id = users.id
) AS settled
WHERE users.id = ANY (ARRAY (SELECT user_id FROM answer))
"""

OLDEST_OPEN = """
SELECT id FROM events WHERE user_id = :user_id AND action = :action AND state = 'open'
ORDER BY version LIMIT 1
"""
