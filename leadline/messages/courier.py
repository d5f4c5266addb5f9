"""One delivery over HTTP: a message becomes a CloudEvent, the answer becomes a verdict."""

import re
from dataclasses import dataclass

import pika
import urllib3

from leadline.messages.delivery import ATTEMPT, NO_ID
from leadline.runtime import auth, tracing
from leadline.runtime.settings import settings
from leadline.runtime.tracing import Span

#: Longer than any function's own time-outs together, shorter than a gateway's 60 s.
TIMEOUT = urllib3.Timeout(connect=3.0, read=50.0)
REASON_MAX = 500
#: CloudEvents' attribute names; any other name may be one that HTTP can't carry.
_PASSED_ON = re.compile(r"ce-[a-z0-9]+|traceparent")
_TRY_AGAIN_BELOW_500 = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the function said: served, not now, or never."""

    is_served: bool
    is_final: bool = False
    reason: str = ""

    @property
    def name(self) -> str:
        """The verdict in a word, for counting."""
        if self.is_served:
            return "served"
        return "never" if self.is_final else "not now"


class Courier:
    """Posts messages to functions, on connections that are kept and shared by threads."""

    def __init__(self, connections: int) -> None:
        self._pool = urllib3.PoolManager(maxsize=connections, timeout=TIMEOUT, retries=False)

    def deliver(
        self, url: str, body: bytes, properties: pika.BasicProperties, attempt: int
    ) -> Verdict:
        """Post one message; an answer of any kind is a verdict, so is none."""
        if len(body) > settings().body_limit:
            reason = f"the message has {len(body)} bytes, {settings().body_limit} are allowed"
            return Verdict(is_served=False, is_final=True, reason=reason)
        headers = _headers(properties, attempt)
        if not tracing.is_on():
            return self._post(url, body, headers)
        span = Span("deliver", "CONSUMER", headers.get("traceparent"), attempt=attempt)
        verdict = self._post(url, body, {**headers, "traceparent": span.traceparent})
        span.end("" if verdict.is_served else verdict.name)
        return verdict

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> Verdict:
        try:
            answer = self._pool.request("POST", url, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            return Verdict(is_served=False, reason=f"no answer: {type(error).__name__}")
        if 200 <= answer.status < 300:
            return Verdict(is_served=True)
        is_passing = answer.status >= 500 or answer.status in _TRY_AGAIN_BELOW_500
        return Verdict(is_served=False, is_final=not is_passing, reason=_reason(answer))


def _headers(properties: pika.BasicProperties, attempt: int) -> dict[str, str]:
    """The AMQP envelope as HTTP headers: `ce-*` and the trace as they came, the rest by name."""
    headers = {"Content-Type": _printable(properties.content_type or "application/json")}
    for name, value in (properties.headers or {}).items():
        if _PASSED_ON.fullmatch(name):
            headers[name] = _printable(value)
    if "ce-specversion" not in headers:
        message_id = properties.message_id or ""
        headers |= {"ce-specversion": "1.0", "ce-type": "amqp.message", "ce-source": "/amqp"}
        headers["ce-id"] = _printable(message_id) or NO_ID
    headers[f"ce-{ATTEMPT}"] = str(attempt)
    if properties.correlation_id:
        headers["X-Call-Id"] = _printable(properties.correlation_id)
    key = auth.own_key()
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _printable(value: object) -> str:
    """A header value that no odd byte can break."""
    return "".join(one for one in str(value) if one.isascii() and one.isprintable())[:1000]


def _reason(answer: urllib3.BaseHTTPResponse) -> str:
    """The `detail` of a problem document, else the status."""
    try:
        detail = answer.json().get("detail")
    except (ValueError, AttributeError):
        detail = None
    return f"{answer.status} {detail or answer.reason}"[:REASON_MAX]
