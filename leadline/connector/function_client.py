"""Post messages to their function as CloudEvents over HTTP; the response becomes a verdict."""

import time
from collections.abc import Iterator, Sequence

import orjson
import urllib3

from leadline.connector import envelope
from leadline.connector.envelope import CloudEvent
from leadline.connector.message import SERVED, ReceivedMessage, Verdict
from leadline.messages.attributes import TRACEPARENT
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
    "Messages posted to the function of a queue in one request",
    "queue",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)

#: Longer than the sum of any function's time-outs, shorter than a gateway's 60 s.
TIMEOUT = urllib3.Timeout(connect=3.0, read=50.0)
#: Maximum length of a verdict's reason, in characters.
REASON_MAX = 500
#: Maximum number of bytes read of a response; a problem document has at most 8 kB.
RESPONSE_MAX = 64 * 1024
#: 401 and 403 concern our own key: the message can be served once the key is fixed.
_RETRY_STATUSES = frozenset({401, 403, 408, 425, 429})
#: Bytes that a batch adds to each CloudEvent: a comma, and a traceparent if it has none.
_OVERHEAD = 80

#: A message and its CloudEvent.
_Envelope = tuple[ReceivedMessage, CloudEvent]


class FunctionClient:
    """Posts a queue's messages to its function over keep-alive connections; thread-safe."""

    def __init__(self, queue: str, url: str, connections: int) -> None:
        self._queue = queue
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=connections, timeout=TIMEOUT, retries=False)

    def deliver(self, message: ReceivedMessage) -> Verdict:
        """Post one message; any response gives a verdict, and so does the lack of one."""
        if _is_too_large(message):
            limit = settings().body_limit
            reason = f"the message has {len(message.body)} bytes, {limit} are allowed"
            return Verdict(is_served=False, is_final=True, reason=reason)
        headers = envelope.single_headers(message)
        if not tracing.is_enabled():
            return self._post(message.body, headers)
        span = _span(message, headers.get(TRACEPARENT))
        verdict = self._post(message.body, {**headers, TRACEPARENT: span.traceparent})
        span.end(_error(verdict))
        return verdict

    def deliver_batch(self, messages: Sequence[ReceivedMessage]) -> list[ReceivedMessage]:
        """Post messages in batches; returns those not served, to be delivered one by one.

        A 2xx serves the whole batch; any other response is no verdict on its single messages.
        """
        # Oversized messages are not parsed: delivered alone, they are rejected.
        events = [
            (message, None if _is_too_large(message) else envelope.cloud_event(message))
            for message in messages
        ]
        unserved = [message for message, event in events if event is None]
        for batch in _batches([(message, event) for message, event in events if event is not None]):
            messages_sent = [message for message, _ in batch]
            if len(messages_sent) == 1:
                unserved += messages_sent
                continue
            verdict = self._post_batch(batch)
            if verdict.is_served:
                continue
            # A function that rejects a batch has processed none of it.
            unserved += (
                messages_sent
                if verdict.is_final
                else [message.with_unknown_outcome() for message in messages_sent]
            )
        return unserved

    def _post_batch(self, batch: Sequence[_Envelope]) -> Verdict:
        events = [event for _, event in batch]
        headers = envelope.batch_headers()
        if not tracing.is_enabled():
            return self._post(orjson.dumps(events), headers, len(batch))
        spans = [_span(message, event.get(TRACEPARENT)) for message, event in batch]
        for event, span in zip(events, spans, strict=True):
            event[TRACEPARENT] = span.traceparent
        first_parent, *other_parents = (span.traceparent for span in spans)
        batch_span = Span(
            "deliver batch", "CLIENT", first_parent, links=other_parents, messages=len(batch)
        )
        headers[TRACEPARENT] = batch_span.traceparent
        verdict = self._post(orjson.dumps(events), headers, len(batch))
        for span in (batch_span, *spans):
            span.end(_error(verdict))
        return verdict

    def _post(self, body: bytes, headers: dict[str, str], messages: int = 1) -> Verdict:
        BATCHES.observe(messages, self._queue)
        started_at = time.monotonic()
        try:
            response = self._pool.request(
                "POST", self._url, body=body, headers=headers, redirect=False, preload_content=False
            )
            text = response.read(RESPONSE_MAX)
            # If the response was read to its end, its connection is back in the pool by now;
            # otherwise this drops the connection.
            response.close()
        except urllib3.exceptions.HTTPError as error:
            return Verdict(is_served=False, reason=f"no answer: {type(error).__name__}")
        finally:
            DURATION.observe(time.monotonic() - started_at, self._queue)
        if 200 <= response.status < 300:
            return SERVED
        is_retryable = response.status >= 500 or response.status in _RETRY_STATUSES
        return Verdict(is_served=False, is_final=not is_retryable, reason=_reason(response, text))


def _is_too_large(message: ReceivedMessage) -> bool:
    return len(message.body) > settings().body_limit


def _batches(envelopes: Sequence[_Envelope]) -> Iterator[list[_Envelope]]:
    """Split into batches within the function's body limit."""
    batch: list[_Envelope] = []
    size = 0
    for message, event in envelopes:
        event_size = len(orjson.dumps(event)) + _OVERHEAD
        if batch and size + event_size > settings().body_limit:
            yield batch
            batch, size = [], 0
        batch.append((message, event))
        size += event_size
    if batch:
        yield batch


def _span(message: ReceivedMessage, parent: str | None) -> Span:
    return Span("deliver", "CONSUMER", parent, attempt=message.attempt)


def _error(verdict: Verdict) -> str:
    """The error with which a span ends; "" if the message was served."""
    return "" if verdict.is_served else verdict.name


def _reason(response: urllib3.BaseHTTPResponse, text: bytes) -> str:
    """The `detail` of a problem document, else the status."""
    try:
        detail = orjson.loads(text).get("detail")
    except (ValueError, AttributeError):
        detail = None
    return readable(f"{response.status} {detail or response.reason}", REASON_MAX)
