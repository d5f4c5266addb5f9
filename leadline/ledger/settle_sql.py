"""The answers to events in SQL: any number of them in one statement, one for each user.

Those that come together cost little more than one: most of it is the statement and its commit.
"""

from leadline.messages.cloudevents import LOOK

_GIVEN = """
WITH {name} AS (
    SELECT * FROM json_to_recordset(CAST(:answers AS json)) AS one (
        event_id uuid, user_id bigint, state text, reason text, attempts integer, lead_id bigint,
        fence bigint, is_passing boolean, journey jsonb
    )
)"""

# A lead belongs to one user: a reply that names another user's has failed, and its holder is left
# alone. Of several users without a lead that name the same one in a statement one gets it.
_JUDGED = f"""{_GIVEN.format(name="given")}, claim AS (
    SELECT given.*, (SELECT id FROM users WHERE bitrix_lead_id = given.lead_id) AS holder
    FROM given
), judged AS (
    SELECT claim.*, lead_id IS NOT NULL AND user_id <> COALESCE(
        holder, min(user_id) OVER (PARTITION BY lead_id)
    ) AS is_anothers
    FROM claim
), answer AS (
    SELECT event_id, user_id, attempts, fence, journey,
        CASE WHEN is_anothers THEN 'failed' ELSE state END AS state,
        CASE WHEN is_anothers THEN 'lead ' || lead_id || ' belongs to another user'
            ELSE reason END AS reason,
        CASE WHEN NOT is_anothers THEN lead_id END AS lead_id,
        is_passing AND NOT is_anothers AS is_passing
    FROM judged
)"""  # noqa: S608 - of constants; values are parameters

# Bitrix24's side may forget which version it has written: a message that comes late then takes the
# lead back to an older state. The fencing tokens tell, as they grow with each lease: the older of
# two versions was written last. What was looked at before it was written is right by itself.
_OVERWRITES = f"""
settled.state = 'synced' AND COALESCE(CASE
    WHEN settled.version < settled.before THEN settled.fence > settled.applied_fence
    WHEN settled.version > settled.before
    THEN settled.fence < settled.applied_fence AND settled.changed <> '{LOOK}'
END, false)"""

# Whether the older write, which came last, can have written a stage: only one whose event carries a
# stage later than the first. Else the stage that the lead has was agreed on, or a person's choice.
_OVERWRITES_STAGE = f"""
CASE WHEN NOT ({_OVERWRITES}) THEN false
     WHEN settled.version < settled.before THEN COALESCE(settled.stage_version, 1) > 1
     ELSE COALESCE((
         SELECT COALESCE(events.stage_version, 1) > 1 FROM events
         WHERE events.user_id = settled.user_id AND events.version = settled.before
     ), true) END"""  # noqa: S608 - of constants; values are parameters

# A failure may still turn into a success (a late answer, a later try), never the other way round;
# an older reply never touches what a newer version has set. The users are locked first: replies of
# one user come several at once, and would deadlock over its events; and in the order of ids, so
# that statements never wait for each other in a ring. Each user is there once, or Postgres would
# apply one of its answers and leave the others out.
# Due stays only what failed for a passing reason: its next try is when an answer was due anyway,
# at a distance that has grown with each sending. So a repeated reply changes nothing here either.
# The arrays say that there are few: the planner takes JSON for 100 rows, and would read a small
# table as a whole.
SETTLE = f"""{_JUDGED}, owner AS (
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
    applied_fence = CASE WHEN settled.state = 'synced'
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
    settled.state, settled.reason,
    (SELECT count(*) FROM older WHERE older.user_id = users.id) AS older
"""  # noqa: S608 - of constants; values are parameters

# A version that was answered before may have been written once more since, over a newer one that is
# not answered yet: its later fence counts.
REPEATED = f"""{_GIVEN.format(name="answer")}, owner AS (
    SELECT id, version, synced_version, applied_fence FROM users
    WHERE id = ANY (ARRAY (SELECT user_id FROM answer))
    ORDER BY id FOR NO KEY UPDATE
), settled AS (
    SELECT owner.id AS user_id, owner.version AS newest, answer.state, fence, events.version,
           changed, events.stage_version, synced_version AS before, applied_fence, lead_id
    FROM owner JOIN answer ON answer.user_id = owner.id
    JOIN events ON events.id = answer.event_id AND events.user_id = owner.id
    WHERE events.id = ANY (ARRAY (SELECT event_id FROM answer))
), raised AS (
    UPDATE users SET
        applied_fence = settled.fence,
        -- The lead of the later lease is the user's: the one before may have been deleted since.
        bitrix_lead_id = CASE WHEN settled.version >= settled.before AND NOT EXISTS (
            SELECT FROM users AS holder WHERE holder.bitrix_lead_id = settled.lead_id
        ) THEN COALESCE(settled.lead_id, users.bitrix_lead_id) ELSE users.bitrix_lead_id END
    FROM settled
    WHERE users.id = settled.user_id AND settled.state = 'synced'
      AND settled.fence > COALESCE(users.applied_fence, 0)
)
SELECT user_id AS id, newest AS version, {_OVERWRITES} AS overwrites,
    {_OVERWRITES_STAGE} AS overwrites_stage
FROM settled
"""  # noqa: S608 - of constants; values are parameters

OLDEST_OPEN = """
SELECT id FROM events WHERE user_id = :user_id AND action = :action AND state = 'open'
ORDER BY version LIMIT 1
"""
