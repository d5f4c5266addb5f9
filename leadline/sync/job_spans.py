"""The spans of a call in the traces of its events; none while tracing is off."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from leadline.errors import BitrixError
from leadline.runtime.telemetry import tracing
from leadline.runtime.telemetry.tracing import Span
from leadline.sync.batch_request import BatchRequest
from leadline.workqueue.entry import Entry, PendingEvent, Settlement


class JobSpans:
    """A span for each event in the call, and one for the request that they share."""

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
        first, *others = (span.traceparent for span in self._events.values())
        span = Span("Bitrix24 batch", "CLIENT", first, links=others, commands=commands)
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
                span.end(_error(event))

    def close(self) -> None:
        """End all spans that are still open."""
        for span in self._events.values():
            span.end("interrupted")
        self._events.clear()


def _error(event: PendingEvent) -> str:
    if event.outcome is None:
        return "retried"
    return "failed" if event.outcome.status == "failed" else ""
