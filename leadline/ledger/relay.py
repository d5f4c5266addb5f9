"""The relay: publish what was never confirmed, send again what stays unanswered.

Any number of relays may run at once: each claims its rows for a while (`SKIP LOCKED`), and a claim
that is not kept, because the relay was killed, ends by itself.
"""

import time
from dataclasses import dataclass

import structlog

from leadline.ledger import publish
from leadline.runtime.database import database
from leadline.runtime.errors import BrokerDown
from leadline.users.store import KEY_LIFETIME, event_of

log = structlog.get_logger()

BATCH = 200
CLAIM_S = 30
BUDGET_S = 20.0

_CLAIM = """
WITH claimed AS (
    UPDATE events SET due_at = now() + make_interval(secs => :claim_s)
    WHERE id IN (
        SELECT id FROM events WHERE state = 'open' AND due_at <= now()
        ORDER BY due_at LIMIT :batch FOR UPDATE SKIP LOCKED
    )
    RETURNING *
)
SELECT claimed.id AS event_id, claimed.user_id AS id, claimed.full_name, claimed.phone,
       claimed.stage, claimed.version, claimed.action, claimed.changed, claimed.occurred_at,
       claimed.correlation_id, claimed.traceparent, users.bitrix_lead_id
FROM claimed JOIN users ON users.id = claimed.user_id
ORDER BY claimed.id
"""

_GIVE_BACK = """
UPDATE events SET due_at = now() WHERE id = ANY (CAST(:ids AS uuid[])) AND state = 'open'
"""

_PRUNE_KEYS = f"""
DELETE FROM idempotency_keys WHERE (caller, key) IN (
    SELECT caller, key FROM idempotency_keys
    WHERE created_at <= now() - interval '{KEY_LIFETIME}'
    ORDER BY created_at LIMIT :batch FOR UPDATE SKIP LOCKED
)
RETURNING key
"""


@dataclass(slots=True)
class Swept:
    """What one run of the relay did."""

    published: int = 0
    pruned: int = 0


def run(budget_s: float = BUDGET_S) -> Swept:
    """Publish until nothing is due or the time is used up.

    Raises:
        DatabaseDown: Postgres can't be reached.
        BrokerDown: RabbitMQ did not confirm; what it didn't stays due.
    """
    swept = Swept(pruned=len(database().run(_PRUNE_KEYS, batch=BATCH)))
    until = time.monotonic() + budget_s
    while time.monotonic() < until:
        claimed = _publish_due()
        swept.published += claimed
        if claimed < BATCH:
            break
    if swept.published:
        log.info("events sent again", events=swept.published)
    return swept


def _publish_due() -> int:
    """Claim a batch, publish it and say how many events it had."""
    events = [event_of(row) for row in database().run(_CLAIM, claim_s=CLAIM_S, batch=BATCH)]
    if not events:
        return 0
    confirmed = publish.publisher().publish(
        [publish.message_of(event, resent=True) for event in events]
    )
    ids = {True: [], False: []}  # type: dict[bool, list[str]]
    for event, is_confirmed in zip(events, confirmed, strict=True):
        ids[is_confirmed].append(str(event.id))
    if ids[True]:
        publish.mark_published(ids[True])
    if ids[False]:
        database().run(_GIVE_BACK, ids=ids[False])
        raise BrokerDown(f"RabbitMQ did not confirm {len(ids[False])} of {len(events)} events")
    return len(events)
