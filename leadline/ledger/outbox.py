"""The outbox: publish new events in the background and mark them once the broker confirms.

Best effort by design: the relay publishes events that are not marked in time.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable

import structlog

from leadline.errors import DatabaseDown
from leadline.ledger.event import Event
from leadline.messages import contract, topology
from leadline.messages.attributes import (
    CHANGED,
    ERASE,
    HISTORY,
    ORIGINATOR,
    RESENT,
    SENT,
    STAGE_SET,
    STAGE_VERSION,
    cloudevent_headers,
)
from leadline.process import per_process_closing
from leadline.runtime import secrets
from leadline.runtime.postgres.pool import array_literal, database
from leadline.runtime.rabbitmq.connection import Message
from leadline.runtime.rabbitmq.publisher import Publisher
from leadline.runtime.telemetry import metrics, trace_context
from leadline.settings import settings
from leadline.users import further_fields

log = structlog.get_logger()

UNMARKED = metrics.Counter(
    "leadline_confirms_unmarked_total",
    "Events confirmed by the broker but not marked in the ledger: the relay will republish them",
)

MARK_BATCH = 500
#: Linger: how long to collect confirms before marking them in one statement. It counts from
#: the first confirm, on a thread that may sleep: no client waits for a mark.
MARK_LINGER_S = 0.2
#: Maximum number of confirms queued while Postgres is slow or down; the relay handles the excess.
MAX_CONFIRMED = 10_000
#: How long closing may take to mark the last confirms; the relay handles the rest.
CLOSE_TIMEOUT_S = 3.0
#: What follows the last event id in the queue of confirms.
_END = ""

_MARK = """
UPDATE events SET published_at = COALESCE(published_at, now()), sendings = sendings + 1,
    -- If the reply was faster than this mark, it has already set or cleared due_at.
    due_at = CASE WHEN due_at IS NOT NULL THEN now() + make_interval(secs =>
        LEAST(CAST(:resend_after_s AS float) * power(2, LEAST(sendings, 20)), :resend_cap_s)) END
WHERE id IN (
    SELECT id FROM events WHERE id = ANY (CAST(:ids AS uuid[]))
    FOR UPDATE SKIP LOCKED -- being settled right now, needs no mark
)
"""


def to_message(event: Event, *, republished: bool = False) -> Message:
    """The event as a message for `bitrix_queue`; `republished`: an earlier one may exist."""
    event_id, occurred_at = event.id, contract.timestamp(event.occurred_at)
    data = {"event_id": event_id, "version": event.version, "occurred_at": occurred_at}
    user = {**event.user.body(), "bitrix_lead_id": event.bitrix_lead_id}
    user |= further_fields.mapped(event.user.fields)
    if ERASE in event.changed:
        data["erased"] = True
        user |= {"phone": None, "stage": None}
    body = contract.request_body(event.action, user, topology.REPLIES, data)
    event_type = f"leadline.{contract.PATTERNS[event.action]}"
    headers = cloudevent_headers(event_type, event_id, settings().source, occurred_at)
    headers["traceparent"] = event.traceparent
    newest_at_ms = event.newest_at_ms
    if newest_at_ms is None:
        newest_at_ms = int(event.occurred_at.timestamp() * 1000)
    headers[f"ce-{SENT}"] = str(newest_at_ms)
    headers[f"ce-{CHANGED}"] = ",".join(event.changed)
    if event.stage_version and event.action == "update_card":
        headers[f"ce-{STAGE_VERSION}"] = str(event.stage_version)
    if event.stage_set is not None:
        headers[f"ce-{STAGE_SET}"] = str(event.stage_set)
    if event.history is not None:
        headers[f"ce-{HISTORY}"] = str(event.history)
    if originator_id := settings().originator_id or event.originator_id:
        headers[f"ce-{ORIGINATOR}"] = originator_id
    if republished:
        headers[f"ce-{RESENT}"] = "true"
    return Message(
        topology.REQUESTS,
        body,
        event_id,
        event.correlation_id,
        headers,
    )


def mark_published(ids: list[str]) -> None:
    """Record that the broker confirmed these events, and when to republish them if no reply comes.

    Raises:
        DatabaseDown: nothing was recorded; the relay will republish them.
    """
    database().run(
        _MARK,
        ids=array_literal(ids),
        resend_after_s=settings().resend_after_s,
        resend_cap_s=settings().resend_cap_s,
    )


class Outbox:
    """Publishes in the background and marks confirmed events in batches."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._confirmed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._is_closing = False
        self._thread = threading.Thread(target=self._mark_loop, name="outbox", daemon=True)
        self._thread.start()

    def offer(self, event: Event) -> None:
        """Queue the event for publishing; never blocks, never raises."""
        self._publisher.offer(to_message(event), self._on_confirm(event.id))

    def close(self) -> None:
        """Close the publisher, which waits for messages in flight, and mark what was confirmed."""
        self._is_closing = True
        self._publisher.close()
        self._confirmed.put(_END)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _on_confirm(self, event_id: str) -> Callable[[bool], None]:
        def on_confirm(confirmed: bool) -> None:  # noqa: FBT001 - as the publisher calls it
            if not confirmed:
                return
            if self._confirmed.qsize() < MAX_CONFIRMED:
                self._confirmed.put(event_id)
            else:
                UNMARKED.inc()

        return on_confirm

    def _mark_loop(self) -> None:
        is_closed = False
        while not is_closed:
            ids = self._next_batch()
            if is_closed := _END in ids:
                ids.remove(_END)
            if ids:
                self._mark(ids)

    def _mark(self, ids: list[str]) -> None:
        try:
            mark_published(ids)
        except DatabaseDown:
            UNMARKED.inc(by=len(ids))
            log.warning(
                "confirmed events not marked, the relay will republish them", events=len(ids)
            )
        except Exception:
            # Edge of the thread: if it ended, every event would be published twice.
            UNMARKED.inc(by=len(ids))
            log.exception(
                "confirmed events not marked, the relay will republish them", events=len(ids)
            )

    def _next_batch(self) -> list[str]:
        """A batch of confirmed event ids; blocks until there is one."""
        ids = [self._confirmed.get()]
        if not self._is_closing:
            time.sleep(MARK_LINGER_S)
        with contextlib.suppress(queue.Empty):
            while len(ids) < MARK_BATCH:
                ids.append(self._confirmed.get_nowait())
        return ids


@per_process_closing(Publisher.close)
def publisher() -> Publisher:
    """This process's publisher to `bitrix_queue`; connects lazily."""
    return Publisher(secrets.url_source("amqp-url"), topology.queues_of(topology.REQUESTS))


@per_process_closing(Outbox.close)
def outbox() -> Outbox:
    """This process's outbox."""
    database()  # made before the outbox, so closed after it: the last marks need it
    return Outbox(publisher())


def offer(event: Event) -> None:
    """Queue the event for publishing, as part of the current trace."""
    trace_context.current()  # begins a trace if there is none
    outbox().offer(event)
