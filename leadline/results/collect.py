"""Collects results from the ledger, each once, and enters the deliveries of each.

By keyset: settled events by the time of their outcome, accepted ones by the time in their id. A
statement may commit after one that began later, and clocks of functions may differ, so each
collection begins `OVERLAP` before the end of the last one and skips results that exist already.
"""

from collections.abc import Sequence

from leadline.messages.attributes import LOOK
from leadline.results.endpoints import Endpoint
from leadline.runtime.postgres.pool import database

BATCH = 500
#: Longer than any statement lasts (5 s) and clocks differ (10 s) together.
OVERLAP = "30 seconds"

_BEGIN = """
INSERT INTO results_cursor (settled_to, accepted_to) VALUES (now(), now())
ON CONFLICT DO NOTHING RETURNING is_only
"""

# A reason may quote the person, in the portal's words about a field. Name, phone and further fields
# are replaced as a whole, and each word of the name; of overlapping matches, the longest.
_REASON = r"""
CASE WHEN users.erased_at IS NULL OR changed = 'erase' THEN COALESCE(regexp_replace(reason, (
    SELECT string_agg(regexp_replace(quote, '([^[:alnum:]])', '\\\1', 'g'), '|')
    FROM (
        SELECT found.full_name UNION ALL SELECT found.phone
        UNION ALL SELECT ltrim(found.phone, '+')
        UNION ALL SELECT regexp_split_to_table(found.full_name, '\s+')
        UNION ALL SELECT value FROM jsonb_each_text(found.fields)
    ) AS quotes (quote) WHERE char_length(quote) > 2
), '…', 'gi'), reason) END"""
_COLLECT = """
WITH cursor AS (
    SELECT settled_to, accepted_to FROM results_cursor FOR NO KEY UPDATE SKIP LOCKED
), found AS ({found}
), entered AS (
    INSERT INTO results (kind, event_id, user_id, version, bitrix_lead_id, reason, is_erasure, at)
    SELECT kind, found.id, user_id, found.version, users.bitrix_lead_id,
           {reason}, changed = 'erase', at
    FROM found JOIN users ON users.id = user_id
    ORDER BY at, found.version
    ON CONFLICT DO NOTHING
    RETURNING seq, kind, user_id
), deliveries AS (
    INSERT INTO result_deliveries (endpoint, user_id, seq)
    SELECT endpoint, user_id, seq FROM entered
    JOIN unnest(CAST(:names AS text[]), CAST(:kinds AS text[])) AS subscriptions (endpoint, kind)
    USING (kind)
), advanced AS (
    -- A batch that is not full has reached the present.
    UPDATE results_cursor SET {cursor} = GREATEST({cursor},
        CASE WHEN seen.events < :batch THEN now() ELSE seen.last_at END)
    FROM (SELECT count(*) AS events, max(at) AS last_at FROM found) AS seen
    WHERE EXISTS (SELECT FROM cursor)
)
SELECT count(*) AS events FROM found
"""
_SETTLED = _COLLECT.format(
    reason=_REASON,
    found=f"""
    SELECT id, user_id, version, full_name, phone, fields, reason, changed, settled_at AS at,
           'user.' || state AS kind
    FROM events, cursor
    WHERE settled_at > settled_to - interval '{OVERLAP}' AND state IN ('synced', 'failed')
      AND 'user.' || state = ANY (CAST(:kinds AS text[]))
      AND NOT EXISTS (
          SELECT FROM results WHERE event_id = events.id AND kind = 'user.' || events.state
      )
    ORDER BY settled_at LIMIT :batch""",  # noqa: S608 - of constants; values are parameters
    cursor="settled_to",
)
# A UUIDv7 begins with its unix milliseconds in 48 bits. A resync changes no field, whatever follows
# `look` in `changed`.
_ACCEPTED = _COLLECT.format(
    reason=_REASON,
    found=f"""
    SELECT events.id, user_id, version, full_name, phone, fields, CAST(NULL AS text) AS reason,
           changed, occurred_at AS at, 'user.changed' AS kind
    FROM events, cursor, LATERAL (
        SELECT CAST(floor(extract(epoch FROM accepted_to - interval '{OVERLAP}') * 1000)
                    AS bigint) AS ms
    ) AS first
    WHERE events.id > CAST(lpad(to_hex(ms), 12, '0') || repeat('0', 20) AS uuid)
      AND split_part(changed, ',', 1) <> '{LOOK}' AND NOT EXISTS (
          SELECT FROM results WHERE event_id = events.id AND kind = 'user.changed'
      )
    ORDER BY events.id LIMIT :batch""",  # noqa: S608 - of constants; values are parameters
    cursor="accepted_to",
)


def collect(endpoints: Sequence[Endpoint]) -> int:
    """Collect all new results and enter their deliveries; returns the number of results.

    The first call begins at the present. Any number of relays may call it: one works at a time.

    Raises:
        DatabaseDown: Postgres can't be reached; safe to repeat.
    """
    if database().run(_BEGIN):
        return 0
    names: list[str] = []
    kinds: list[str] = []
    for endpoint in endpoints:
        kinds += sorted(endpoint.kinds)
        names += [endpoint.name] * len(endpoint.kinds)
    params = {"names": names, "kinds": kinds}
    # Accepted before settled: the order in which both happen to a write.
    accepted = _collect_all(_ACCEPTED, params) if "user.changed" in kinds else 0
    return accepted + _collect_all(_SETTLED, params)


def _collect_all(sql: str, params: dict[str, list[str]]) -> int:
    total = 0
    while True:
        events = int(database().run(sql, batch=BATCH, **params)[0]["events"])
        total += events
        if events < BATCH:
            return total
