"""SQL that settles events: any number of replies in one statement, one for each user.

A group costs little more than a single reply: most of the cost is the statement and its commit.
"""

from leadline.messages.attributes import ERASE, LOOK

_REPLIES_AS = """
WITH {name} AS (
    SELECT * FROM json_to_recordset(CAST(:replies AS json)) AS reply (
        event_id uuid, user_id bigint, state text, reason text, attempts integer, lead_id bigint,
        taken_lead_id bigint, fence bigint, is_transient boolean, journey jsonb, open_fields text,
        calls text
    )
)"""

# A lead belongs to one user: a reply that names another user's lead counts as failed, and the
# other user keeps the lead. If several users without a lead name the same one, one of them gets it.
_CHECKED = f"""{_REPLIES_AS.format(name="received")}, claim AS (
    SELECT received.*, (SELECT id FROM users WHERE bitrix_lead_id = received.lead_id) AS holder
    FROM received
), checked AS (
    SELECT claim.*, lead_id IS NOT NULL AND user_id <> COALESCE(
        holder, min(user_id) OVER (PARTITION BY lead_id)
    ) AS belongs_to_other
    FROM claim
), valid_reply AS (
    SELECT event_id, user_id, attempts, taken_lead_id, fence, journey, open_fields, calls,
        CASE WHEN belongs_to_other THEN 'failed' ELSE state END AS state,
        CASE WHEN belongs_to_other THEN 'lead ' || lead_id || ' belongs to another user'
            ELSE reason END AS reason,
        CASE WHEN NOT belongs_to_other THEN lead_id END AS lead_id,
        is_transient AND NOT belongs_to_other AS is_transient
    FROM checked
)"""  # noqa: S608 - of constants; values are parameters

# Redis may lose the last applied version; a late message then reverts the lead to an older state.
# Fencing tokens grow with each lease, so they show that the older of two versions was written last.
# An event that requests a lookup needs no such repair: the lead is read before it is written.
_OVERWRITES = f"""
settled.state = 'synced' AND COALESCE(CASE
    WHEN settled.version < settled.before THEN settled.fence > settled.applied_fence
    WHEN settled.version > settled.before
    THEN settled.fence < settled.applied_fence
        AND split_part(settled.changed, ',', 1) NOT IN ('{LOOK}', '{ERASE}')
END, false)"""

# Whether the older version, written last, can have overwritten the stage: only if its event carries
# a stage set after version 1. Otherwise the lead's stage was applied before, or set in the CRM.
_OVERWRITES_STAGE = f"""
CASE WHEN NOT ({_OVERWRITES}) THEN false
     WHEN settled.version < settled.before THEN COALESCE(settled.stage_version, 1) > 1
     ELSE COALESCE((
         SELECT COALESCE(events.stage_version, 1) > 1 FROM events
         WHERE events.user_id = settled.user_id AND events.version = settled.before
     ), true) END"""  # noqa: S608 - of constants; values are parameters

# A failure may still become a success (late reply, later retry), never the reverse; an older reply
# never changes what a newer version has set. Users are locked first, because concurrent replies to
# one user would deadlock on its events, and in id order, so that statements cannot deadlock. Each
# user may appear only once: Postgres would apply one of its replies and drop the rest.
# Only a transient failure keeps its due_at: it is retried when an unanswered event would be
# republished, after a delay that grows each time. So a repeated reply changes nothing.
# The arrays make the planner expect few rows: it assumes 100 for JSON and would scan a small table.
SETTLE = f"""{_CHECKED}, owner AS (
    SELECT id, synced_version, applied_fence, erased_at FROM users
    WHERE id = ANY (ARRAY (SELECT user_id FROM valid_reply))
    ORDER BY id FOR NO KEY UPDATE
), settled AS (
    UPDATE events SET
        state = valid_reply.state, reason = valid_reply.reason, attempts = valid_reply.attempts,
        settled_at = CASE WHEN events.state = valid_reply.state THEN settled_at ELSE now() END,
        journey = COALESCE(valid_reply.journey, events.journey),
        due_at = CASE WHEN is_transient
            AND now() < COALESCE(settled_at, now()) + make_interval(secs => :retry_for_s)
            THEN due_at END
    FROM owner JOIN valid_reply ON valid_reply.user_id = owner.id
    WHERE events.id = ANY (ARRAY (SELECT event_id FROM valid_reply))
      AND events.id = valid_reply.event_id AND events.user_id = owner.id
      AND events.state IN ('open', 'failed')
    RETURNING events.id, events.user_id, version, changed, stage_version, erased_at, calls,
        valid_reply.state, valid_reply.reason, valid_reply.attempts, lead_id, taken_lead_id, fence,
        open_fields,
        owner.synced_version AS before, applied_fence,
        settled_at = now() AS is_change,
        CAST(extract(epoch FROM now() - occurred_at) AS float) AS age_s
), older AS (
    UPDATE events SET state = 'superseded', settled_at = now(), due_at = NULL
    FROM settled
    WHERE settled.state = 'synced' AND events.user_id = settled.user_id
      AND events.version < settled.version AND events.state = 'open'
    RETURNING events.user_id
), logged AS (
    INSERT INTO event_calls SELECT id, calls FROM settled
    WHERE calls IS NOT NULL AND erased_at IS NULL
    ON CONFLICT (event_id) DO UPDATE SET calls = excluded.calls
)
UPDATE users SET
    bitrix_lead_id = CASE
        WHEN users.synced_version = 0 AND users.bitrix_lead_id = settled.taken_lead_id THEN NULL
        WHEN settled.version >= users.synced_version
        THEN COALESCE(settled.lead_id, users.bitrix_lead_id) ELSE users.bitrix_lead_id END,
    applied_fence = CASE WHEN settled.state = 'synced'
        THEN GREATEST(users.applied_fence, settled.fence) ELSE users.applied_fence END,
    open_fields = CASE
        WHEN settled.state = 'failed' OR settled.version < users.synced_version
        THEN users.open_fields ELSE settled.open_fields END,
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

# A settled version may have been written again since, over a newer one that has no reply yet: the
# fencing token of that second write counts.
REPEATED = f"""{_REPLIES_AS.format(name="valid_reply")}, owner AS (
    SELECT id, version, synced_version, applied_fence FROM users
    WHERE id = ANY (ARRAY (SELECT user_id FROM valid_reply))
    ORDER BY id FOR NO KEY UPDATE
), settled AS (
    SELECT owner.id AS user_id, owner.version AS newest, valid_reply.state, fence, events.version,
           changed, events.stage_version, synced_version AS before, applied_fence, lead_id
    FROM owner JOIN valid_reply ON valid_reply.user_id = owner.id
    JOIN events ON events.id = valid_reply.event_id AND events.user_id = owner.id
    WHERE events.id = ANY (ARRAY (SELECT event_id FROM valid_reply))
), fence_raised AS (
    UPDATE users SET
        applied_fence = settled.fence,
        -- The lead of the later lease wins: the earlier one may have been deleted since.
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
