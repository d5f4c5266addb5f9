"""The relay: publish unconfirmed events, republish unanswered ones, retry transient failures.

`due_at` says when an event is due next. An open event has it until its reply is recorded; one with
a transient failure until it succeeds, its user has a newer version, or its retry period ends. Of a
user's published open events only the newest is republished; its success settles the older ones. An
event that is still pending in the work queue is not republished: otherwise a long backlog would be
published again and again.

Any number of relays may run at once: each claims its rows for `CLAIM_S` (`SKIP LOCKED`), and the
claim of a killed relay expires.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import compress

import structlog

from leadline.errors import BrokerDown
from leadline.ledger import correlations, outbox, retention
from leadline.ledger.event import Event, event_from_row
from leadline.ledger.resync import fork_resync
from leadline.ledger.write import query_json
from leadline.runtime.postgres import installation
from leadline.runtime.postgres.json_rows import as_json
from leadline.runtime.postgres.pool import Row, array_literal, database
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
#: Time limits of a run: for publishing, and then for the update of each of the two search indexes.
BUDGET_S = 20.0
INDEX_S = 4.0

_TO_SEND = as_json("""
    SELECT claimed.id AS event_id, claimed.user_id AS id, claimed.full_name, claimed.phone,
           claimed.stage, claimed.fields, claimed.version, claimed.action, claimed.changed,
           claimed.stage_version, claimed.occurred_at, claimed.correlation_id,
           claimed.traceparent, users.bitrix_lead_id,
           -- NULL for an older version: with a history, it would count as newer than all versions
           -- before a fork, and revert the lead.
           CASE WHEN claimed.version = users.version THEN history END AS history, originator_id,
           users.stage_version AS stage_set, -- the version that set the user's current stage
           -- A newer open version contains the older state. Republishing the older one could only
           -- revert the lead, if Redis has lost the applied version.
           claimed.due_at IS NOT NULL
               AND NOT (claimed.published_at IS NOT NULL AND has_newer) AS must_send,
           -- NULL if there is a newer open version: the lead may have it already, unknown to Redis,
           -- so that nothing older may be vouched for.
           CASE WHEN NOT has_newer
                THEN CAST(extract(epoch FROM now()) * 1000 AS bigint) END AS newest_at_ms,
           claimed.published_at IS NOT NULL AND claimed.state = 'open' AS is_unanswered
    FROM leadline_present(), claimed JOIN users ON users.id = claimed.user_id, LATERAL (
        SELECT EXISTS (
            SELECT FROM events AS newer
            WHERE newer.user_id = claimed.user_id AND newer.version > claimed.version
              AND newer.state = 'open'
        ) AS has_newer
    ) AS versions
    ORDER BY claimed.id
""")

_CLAIM = f"""
WITH claimed AS (
    UPDATE events SET due_at = CASE
        -- A failure needs no retry once its user has a newer version, which contains its state.
        WHEN state = 'failed' AND version < (SELECT version FROM users WHERE id = user_id) THEN NULL
        ELSE now() + make_interval(secs => :claim_s) END
    -- An array: a subquery of IN may run for each row, and each run would claim another batch.
    WHERE id = ANY (ARRAY(
        SELECT id FROM events WHERE due_at <= now()
        ORDER BY due_at LIMIT :batch FOR UPDATE SKIP LOCKED
    ))
    RETURNING *
)
{_TO_SEND}
"""  # noqa: S608 - of constants; values are parameters

_DUE = """
UPDATE events SET due_at = {when} WHERE id IN (
    SELECT id FROM events WHERE id = ANY (CAST(:ids AS uuid[])) AND due_at IS NOT NULL
    FOR UPDATE SKIP LOCKED -- being settled right now: no longer due, and waiting may deadlock
)
"""
_RELEASE = _DUE.format(when="now()")
# The delay doubles each time, as if the event had been republished.
_POSTPONE = _DUE.format(
    when="""now() + LEAST(make_interval(secs => :resend_cap_s),
        GREATEST(make_interval(secs => :resend_after_s), now() - published_at))"""
)

_MAKE_DUE = """
UPDATE events SET due_at = now() WHERE id IN (
    SELECT id FROM events
    WHERE user_id = ANY (CAST(:users AS bigint[])) AND state = 'open' AND due_at > now()
    FOR UPDATE SKIP LOCKED -- being settled right now
)
"""

#: Takes (user id, event id) of published events without a reply; returns the ids of events that
#: are still pending in the work queue and need not be republished.
PendingFilter = Callable[[Sequence[tuple[int, str]]], Collection[str]]


@dataclass(slots=True)
class RunResult:
    """Counts of one run of the relay."""

    published: int = 0
    pruned: int = 0


def run(pending_among: PendingFilter = lambda _: (), budget_s: float = BUDGET_S) -> RunResult:
    """Publish due events until none is left or `budget_s` is used up, then do housekeeping.

    Housekeeping updates the search indexes and deletes expired rows. Events that `pending_among`
    returns are postponed. After a fork of Postgres, each run does a step of the sweep.

    Raises:
        DatabaseDown: Postgres can't be reached.
        BrokerDown: RabbitMQ did not confirm; unconfirmed events stay due.
    """
    result = RunResult()
    until = time.monotonic() + budget_s
    if installation.ensure_history().is_sweeping:
        fork_resync.step()
    try:
        _publish_due(result, pending_among, until)
    finally:
        # Even if the broker is down or the backlog is long: searches would slow down otherwise.
        search_index.catch_up(time.monotonic() + INDEX_S)
        correlations.catch_up(time.monotonic() + INDEX_S)
    result.pruned = retention.run(until)
    PRUNED.inc(by=result.pruned)
    if result.published:
        log.info("events resent", events=result.published)
    return result


def make_due(users: Sequence[int]) -> None:
    """Have the next run republish the open events of these users.

    Raises:
        DatabaseDown: nothing was changed.
    """
    database().run(_MAKE_DUE, users=array_literal(users))


def _publish_due(result: RunResult, pending_among: PendingFilter, until: float) -> None:
    while time.monotonic() < until:
        claimed = query_json(_CLAIM, claim_s=CLAIM_S, batch=BATCH)
        to_send = _drop_pending([row for row in claimed if row["must_send"]], pending_among)
        _publish(to_send)
        result.published += len(to_send)
        RESENT.inc(by=len(to_send))
        if len(claimed) < BATCH:
            break


def _drop_pending(to_send: list[Row], pending_among: PendingFilter) -> list[Event]:
    """The events of these rows, without those pending in the work queue: they are postponed."""
    events = [event_from_row(row) for row in to_send]
    unanswered = [row["is_unanswered"] for row in to_send]
    ids = pending_among([(event.user.id, event.id) for event in compress(events, unanswered)])
    if ids:
        database().run(
            _POSTPONE,
            ids=list(ids),
            resend_after_s=settings().resend_after_s,
            resend_cap_s=settings().resend_cap_s,
        )
    return [event for event in events if event.id not in ids]


def _publish(events: list[Event]) -> None:
    """Publish claimed events and mark them; unconfirmed events become due at once.

    Raises:
        BrokerDown: RabbitMQ did not confirm some events.
    """
    confirmed = outbox.publisher().publish(
        [outbox.to_message(event, republished=True) for event in events]
    )
    results = list(zip(events, confirmed, strict=True))
    published = [event.id for event, is_confirmed in results if is_confirmed]
    unconfirmed = [event.id for event, is_confirmed in results if not is_confirmed]
    if published:
        outbox.mark_published(published)
    if unconfirmed:
        database().run(_RELEASE, ids=unconfirmed)
        raise BrokerDown(f"RabbitMQ did not confirm {len(unconfirmed)} of {len(events)} events")
