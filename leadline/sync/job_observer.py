"""Reports the steps of a job as log lines, spans and metrics.

Log lines contain ids, attempts and outcomes, nothing personal.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import structlog

from leadline.errors import BitrixError, LeaseTooShort
from leadline.runtime.telemetry import tracing
from leadline.runtime.telemetry.tracing import Span
from leadline.sync import metrics
from leadline.sync.batch_request import BatchRequest
from leadline.sync.decide import MAX_ATTEMPTS
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.pending_event import PendingEvent
from leadline.workqueue.entries.settlement import Settlement

log = structlog.get_logger()


class JobObserver:
    """A callback for each step of a job, in order."""

    def __init__(self, users: int) -> None:
        self._users = users
        self._spans = _Spans()

    def too_late(self) -> None:
        """The leases are too old for a call: nothing is sent."""
        log.warning("too late to call", users=self._users)

    def started(self, request: BatchRequest) -> None:
        """The call begins, an attempt of each event in it."""
        for step in request.steps:
            for event in step.entry.events:
                if event.outcome is None and request.covers(step):
                    metrics.ATTEMPTS.inc(str(event.attempts + 1))
                    log.info(
                        "Processing bitrix_job (attempt %d/%d)",
                        event.attempts + 1,
                        MAX_ATTEMPTS,
                        step=type(step.plan).__name__,
                        **_event_fields(step.entry, event),
                    )
        if request.commands:
            log.info("calling Bitrix24", commands=len(request.commands))
        self._spans.begin(request)

    @contextmanager
    def request(self, commands: int) -> Iterator[None]:
        """The request, from its sending to its answer or error."""
        metrics.BATCH.observe(commands)
        started_at = time.monotonic()
        try:
            with self._spans.request(commands):
                yield
        except LeaseTooShort:
            self.too_late()
            raise
        except BitrixError as error:
            metrics.REQUESTS.inc(type(error).__name__)
            raise
        else:
            metrics.REQUESTS.inc("ok")
        finally:
            metrics.DURATION.observe(time.monotonic() - started_at)

    def imports_refused(self, error: BitrixError) -> None:
        """The portal takes no imports: leads are created one by one, and robots start."""
        log.warning("the portal refuses quiet imports; robots will start", **_error_fields(error))

    def fields_refused(self, fields: Sequence[str], error: BitrixError) -> None:
        """The portal refuses these fields of a lead: it is written again without them."""
        log.warning("field refused, written without it", fields=fields, **_error_fields(error))

    def leases_lost(self, users: int) -> None:
        """Other workers have leased these users meanwhile: their settlements are rejected."""
        log.warning("leases lost", users=users)

    def with_span(self, entry: Entry, event: PendingEvent) -> PendingEvent:
        """The event, with this call as the parent span of its reply."""
        return self._spans.with_span(entry, event)

    def settled(self, settlement: Settlement) -> None:
        """A user's events are completed, failed, or due again."""
        if settlement.leads_found > 1:
            metrics.DOUBLED.inc()
            log.error(
                "leads doubled", user_id=settlement.entry.user_id, leads=settlement.leads_found
            )
        error_fields = _error_fields(settlement.error)
        for event in settlement.events:
            fields = _event_fields(settlement.entry, event) | error_fields
            metrics.EVENTS.inc(_outcome(event))
            if event.outcome is None:
                log.warning(
                    "retry in %d ms", settlement.delay_ms, attempts=event.attempts, **fields
                )
            elif event.outcome.status == "failed":
                log.error("failed", attempts=event.outcome.attempts, **fields)
            else:
                lead_id, outcome = event.outcome.lead_id, event.outcome.status
                log.info("completed", outcome=outcome, bitrix_lead_id=lead_id, **fields)
        self._spans.end(settlement)

    def ended(self) -> None:
        """The job has ended, perhaps with an error."""
        self._spans.close()


class _Spans:
    """A span for each event in the call, and one for the request that they share.

    There are none while tracing is off.
    """

    def __init__(self) -> None:
        self._events: dict[tuple[int, str], Span] = {}

    def begin(self, request: BatchRequest) -> None:
        """Begin the spans of the events in the call."""
        if tracing.is_enabled():
            for step in request.steps:
                if request.covers(step):
                    self._begin(step.entry)

    def _begin(self, entry: Entry) -> None:
        for event in entry.events:
            if event.outcome is None:
                self._events[entry.user_id, event.event_id] = Span(
                    f"apply {event.action}",
                    "INTERNAL",
                    event.traceparent,
                    event_id=event.event_id,
                    user_id=entry.user_id,
                    attempt=event.attempts + 1,
                )

    @contextmanager
    def request(self, commands: int) -> Iterator[None]:
        """Span of the request: in the first event's trace, linked to the others'."""
        if not self._events:
            yield
            return
        first_parent, *other_parents = (span.traceparent for span in self._events.values())
        span = Span(
            "Bitrix24 batch", "CLIENT", first_parent, links=other_parents, commands=commands
        )
        error = "interrupted"
        try:
            yield
            error = ""
        except BitrixError as failure:
            error = type(failure).__name__
            raise
        finally:
            span.end(error)

    def with_span(self, entry: Entry, event: PendingEvent) -> PendingEvent:
        """The event, with this call as the parent span of its reply."""
        span = self._events.get((entry.user_id, event.event_id))
        return replace(event, traceparent=span.traceparent) if span else event

    def end(self, settlement: Settlement) -> None:
        """End the spans of a user's events; without the reason, which may quote a person."""
        for event in settlement.events:
            span = self._events.pop((settlement.entry.user_id, event.event_id), None)
            if span:
                span.end(_span_error(event))

    def close(self) -> None:
        """End all spans that are still open."""
        for span in self._events.values():
            span.end("interrupted")
        self._events.clear()


def _span_error(event: PendingEvent) -> str:
    if event.outcome is None:
        return "retried"
    return "failed" if event.outcome.status == "failed" else ""


def _outcome(event: PendingEvent) -> str:
    if event.outcome is None:
        return "retried"
    return "completed" if event.outcome.status == "synced" else event.outcome.status


def _error_fields(error: BitrixError | None) -> dict[str, object]:
    """The error's class and Bitrix24's code; not its text, which may quote a person."""
    return {"error": type(error).__name__, "code": error.code} if error else {}


def _event_fields(entry: Entry, event: PendingEvent) -> dict[str, object]:
    return {
        "event_id": event.event_id,
        "user_id": entry.user_id,
        "action": event.action,
        "correlation_id": event.correlation_id,
    }
