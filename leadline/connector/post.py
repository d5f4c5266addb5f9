"""Deliveries over HTTP: messages become CloudEvents, the answer becomes a verdict."""

import time
from collections.abc import Iterator, Sequence

import orjson
import urllib3

from leadline.connector import envelope
from leadline.connector.envelope import Event
from leadline.connector.message import SERVED, Received, Verdict
from leadline.messages.cloudevents import TRACEPARENT
from leadline.messages.contract import readable
from leadline.runtime.telemetry import metrics, tracing
from leadline.runtime.telemetry.tracing import Span
from leadline.settings import settings

DURATION = metrics.Histogram(
    "leadline_delivery_duration_seconds",
    "Time that the function of a queue took to answer",
    "queue",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 50),
)

BATCHES = metrics.Histogram(
    "leadline_delivery_messages",
    "Messages that went to the function of a queue in one request",
    "queue",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)

#: Longer than any function's own time-outs together, shorter than a gateway's 60 s.
TIMEOUT = urllib3.Timeout(connect=3.0, read=50.0)
REASON_MAX = 500
#: Bytes of an answer that are read; a problem document has 8 kB at most.
ANSWER_MAX = 64 * 1024
#: 401 and 403 are about our own key: the message may be served once that is put right.
_TRY_AGAIN_BELOW_500 = frozenset({401, 403, 408, 425, 429})
#: A comma, and a trace of our own where the message has none.
_ROOM = 80

_Sent = tuple[Received, Event]


class Courier:
    """Posts a queue's messages to its function, on connections that are kept, from any thread."""

    def __init__(self, queue: str, url: str, connections: int) -> None:
        self._queue = queue
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=connections, timeout=TIMEOUT, retries=False)

    def deliver(self, message: Received) -> Verdict:
        """Post one message; an answer of any kind is a verdict, so is none."""
        if _is_too_long(message):
            limit = settings().body_limit
            reason = f"the message has {len(message.body)} bytes, {limit} are allowed"
            return Verdict(is_served=False, is_final=True, reason=reason)
        headers = envelope.alone(message)
        if not tracing.is_enabled():
            return self._post(message.body, headers)
        span = _span(message, headers.get(TRACEPARENT))
        verdict = self._post(message.body, {**headers, TRACEPARENT: span.traceparent})
        span.end(_error(verdict))
        return verdict

    def deliver_together(self, messages: Sequence[Received]) -> list[Received]:
        """Post messages as batches; returns those that were not served, to be delivered alone.

        A batch was served if all of it was; for its messages any other answer is no verdict.
        """
        # What is too long is not even parsed: alone, it is refused.
        events = [
            (message, None if _is_too_long(message) else envelope.event(message))
            for message in messages
        ]
        left = [message for message, event in events if event is None]
        for lot in _lots([(message, event) for message, event in events if event is not None]):
            batch = [message for message, _ in lot]
            if len(batch) == 1:
                left += batch
                continue
            verdict = self._post_batch(lot)
            if verdict.is_served:
                continue
            # Who refuses a batch for good has taken nothing of it.
            left += batch if verdict.is_final else [message.in_doubt() for message in batch]
        return left

    def _post_batch(self, lot: Sequence[_Sent]) -> Verdict:
        events, headers = [event for _, event in lot], envelope.batched()
        if not tracing.is_enabled():
            return self._post(orjson.dumps(events), headers, len(lot))
        spans = [_span(message, event.get(TRACEPARENT)) for message, event in lot]
        for event, span in zip(events, spans, strict=True):
            event[TRACEPARENT] = span.traceparent
        first, *others = (span.traceparent for span in spans)
        whole = Span("deliver batch", "CLIENT", first, links=others, messages=len(lot))
        headers[TRACEPARENT] = whole.traceparent
        verdict = self._post(orjson.dumps(events), headers, len(lot))
        for span in (whole, *spans):
            span.end(_error(verdict))
        return verdict

    def _post(self, body: bytes, headers: dict[str, str], messages: int = 1) -> Verdict:
        BATCHES.observe(messages, self._queue)
        began = time.monotonic()
        try:
            answer = self._pool.request(
                "POST", self._url, body=body, headers=headers, redirect=False, preload_content=False
            )
            text = answer.read(ANSWER_MAX)
            # What is read to its end has given its connection back; of any other no more is read.
            answer.close()
        except urllib3.exceptions.HTTPError as error:
            return Verdict(is_served=False, reason=f"no answer: {type(error).__name__}")
        finally:
            DURATION.observe(time.monotonic() - began, self._queue)
        if 200 <= answer.status < 300:
            return SERVED
        is_passing = answer.status >= 500 or answer.status in _TRY_AGAIN_BELOW_500
        return Verdict(is_served=False, is_final=not is_passing, reason=_reason(answer, text))


def _is_too_long(message: Received) -> bool:
    return len(message.body) > settings().body_limit


def _lots(sent: Sequence[_Sent]) -> Iterator[list[_Sent]]:
    """Batches that the function's limit of a body lets through."""
    lot: list[_Sent] = []
    size = 0
    for message, event in sent:
        more = len(orjson.dumps(event)) + _ROOM
        if lot and size + more > settings().body_limit:
            yield lot
            lot, size = [], 0
        lot.append((message, event))
        size += more
    if lot:
        yield lot


def _span(message: Received, parent: str | None) -> Span:
    return Span("deliver", "CONSUMER", parent, attempt=message.attempt)


def _error(verdict: Verdict) -> str:
    return "" if verdict.is_served else verdict.name


def _reason(answer: urllib3.BaseHTTPResponse, text: bytes) -> str:
    """The `detail` of a problem document, else the status."""
    try:
        detail = orjson.loads(text).get("detail")
    except (ValueError, AttributeError):
        detail = None
    return readable(f"{answer.status} {detail or answer.reason}", REASON_MAX)
