"""The relay: publish what was never confirmed, send again what stays unanswered or may now succeed.

A row is due as long as its `due_at` says so: an open one until its reply is there, one that failed
for a passing reason until it succeeds, its user has a newer version, or it was tried long enough.
Of a user's open events that were published, only the newest goes out again; its success closes all.
It doesn't while it is known to wait for its turn, or a long backlog would be sent over and over.

Any number of relays may run at once: each claims its rows for a while (`SKIP LOCKED`), and a claim
that is not kept, because the relay was killed, ends by itself.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import compress

import structlog

from leadline.errors import BrokerDown
from leadline.ledger import outbox, retention, sweep
from leadline.ledger.event import Event, event_of
from leadline.ledger.write import found
from leadline.ledger.write_sql import as_json
from leadline.runtime.postgres import installation
from leadline.runtime.postgres.pool import Row, database
from leadline.runtime.telemetry import metrics
from leadline.settings import settings
from leadline.users import search_index

log = structlog.get_logger()

RESENT = metrics.Counter(
    "leadline_events_resent_total", "Events published by the relay: unconfirmed or unanswered"
)
PRUNED = metrics.Counter("leadline_rows_pruned_total", "Old events and keys that were deleted")

BATCH = 200
CLAIM_S = 30
BUDGET_S = 20.0
INDEX_S = 4.0

_OWED = as_json("""
    SELECT claimed.id AS event_id, claimed.user_id AS id, claimed.full_name, claimed.phone,
           claimed.stage, claimed.version, claimed.action, claimed.changed, claimed.stage_version,
           claimed.occurred_at, claimed.correlation_id, claimed.traceparent, users.bitrix_lead_id,
           history, originator_id, users.stage_version AS stage_set,
           -- A newer state that is under way carries all of an older one. Sent again, the older
           -- one could only come late, and take back a lead whose versions Redis has forgotten.
           claimed.due_at IS NOT NULL AND NOT (
               claimed.published_at IS NOT NULL AND EXISTS (
                   SELECT FROM events AS newer
                   WHERE newer.user_id = claimed.user_id AND newer.version > claimed.version
                     AND newer.state = 'open'
           )) AS is_owed,
           claimed.published_at IS NOT NULL AND claimed.state = 'open' AS is_unanswered
    FROM leadline_present(), claimed JOIN users ON users.id = claimed.user_id
    ORDER BY claimed.id
""")

_CLAIM = f"""
WITH claimed AS (
    UPDATE events SET due_at = CASE
        -- A failure is history once its user has a newer version, which carries all of it.
        WHEN state = 'failed' AND version < (SELECT version FROM users WHERE id = user_id) THEN NULL
        ELSE now() + make_interval(secs => :claim_s) END
    WHERE id IN (
        SELECT id FROM events WHERE due_at <= now()
        ORDER BY due_at LIMIT :batch FOR UPDATE SKIP LOCKED
    )
    RETURNING *
)
{_OWED}
"""  # noqa: S608 - of constants; values are parameters

_DUE = """
UPDATE events SET due_at = {when} WHERE id IN (
    SELECT id FROM events WHERE id = ANY (CAST(:ids AS uuid[])) AND due_at IS NOT NULL
    FOR UPDATE SKIP LOCKED -- who is being settled right now is owed nothing; to wait may deadlock
)
"""
_GIVE_BACK = _DUE.format(when="now()")
# After as long as it has waited already, as if it had been sent each time.
_WAIT_ON = _DUE.format(
    when="""now() + LEAST(make_interval(secs => :resend_cap_s),
        GREATEST(make_interval(secs => :resend_after_s), now() - published_at))"""
)

#: Of events that were sent and not answered, as (user, event): those that need no sending again.
WhatWaits = Callable[[Sequence[tuple[int, str]]], Collection[str]]


@dataclass(slots=True)
class Swept:
    """What one run of the relay did."""

    published: int = 0
    pruned: int = 0


def run(waiting: WhatWaits = lambda _: (), budget_s: float = BUDGET_S) -> Swept:
    """Publish until nothing is due or the time is used up, then tidy up.

    Users are indexed for searches, and what is kept long enough is deleted. What is `waiting` for
    its turn is not sent, and looked at again later. After a fork of Postgres, leads are compared.

    Raises:
        DatabaseDown: Postgres can't be reached.
        BrokerDown: RabbitMQ did not confirm; what it didn't stays due.
    """
    swept = Swept()
    until = time.monotonic() + budget_s
    if installation.ensure_history().is_sweeping:
        sweep.step()
    try:
        _publish_due(swept, waiting, until)
    finally:
        # Also while the broker is away or much is due, or searches would get slower and slower.
        search_index.catch_up(time.monotonic() + INDEX_S)
    swept.pruned = retention.run(until)
    PRUNED.inc(by=swept.pruned)
    if swept.published:
        log.info("events sent again", events=swept.published)
    return swept


def _publish_due(swept: Swept, waiting: WhatWaits, until: float) -> None:
    while time.monotonic() < until:
        claimed = found(_CLAIM, claim_s=CLAIM_S, batch=BATCH)
        owed = _without_waiting([row for row in claimed if row["is_owed"]], waiting)
        _publish(owed)
        swept.published += len(owed)
        RESENT.inc(by=len(owed))
        if len(claimed) < BATCH:
            break


def _without_waiting(owed: list[Row], waiting: WhatWaits) -> list[Event]:
    """The events of these rows but those that wait for their turn; these are due later."""
    events = [event_of(row) for row in owed]
    unanswered = [row["is_unanswered"] for row in owed]
    ids = waiting([(one.user.id, one.id) for one in compress(events, unanswered)])
    if ids:
        database().run(
            _WAIT_ON,
            ids=list(ids),
            resend_after_s=settings().resend_after_s,
            resend_cap_s=settings().resend_cap_s,
        )
    return [event for event in events if event.id not in ids]


def _publish(events: list[Event]) -> None:
    """Publish claimed events and mark them; what the broker does not confirm is due at once."""
    confirmed = outbox.publisher().publish(
        [outbox.message_of(event, resent=True) for event in events]
    )
    ids = {True: [], False: []}  # type: dict[bool, list[str]]
    for event, is_confirmed in zip(events, confirmed, strict=True):
        ids[is_confirmed].append(event.id)
    if ids[True]:
        outbox.mark_published(ids[True])
    if ids[False]:
        database().run(_GIVE_BACK, ids=ids[False])
        raise BrokerDown(f"RabbitMQ did not confirm {len(ids[False])} of {len(events)} events")
