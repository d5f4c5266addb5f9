"""One delivery over HTTP: a message becomes a CloudEvent, the answer becomes a verdict."""

import re
import threading
from dataclasses import dataclass

import pika
import requests

from leadline.messages.delivery import ATTEMPT, NO_ID
from leadline.runtime import auth
from leadline.runtime.settings import settings

#: Longer than any function's own time-outs together, shorter than a gateway's 60 s.
TIMEOUT_S = (3.0, 50.0)
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


class Courier:
    """Posts messages to functions, a kept connection a thread."""

    def __init__(self) -> None:
        self._local = threading.local()

    def deliver(
        self, url: str, body: bytes, properties: pika.BasicProperties, attempt: int
    ) -> Verdict:
        """Post one message; an answer of any kind is a verdict, so is none."""
        if len(body) > settings().body_limit:
            reason = f"the message has {len(body)} bytes, {settings().body_limit} are allowed"
            return Verdict(is_served=False, is_final=True, reason=reason)
        try:
            answer = self._session().post(
                url,
                data=body,
                headers=_headers(properties, attempt),
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            return Verdict(is_served=False, reason=f"no answer: {type(error).__name__}")
        if answer.ok and not answer.is_redirect:
            return Verdict(is_served=True)
        is_passing = answer.status_code >= 500 or answer.status_code in _TRY_AGAIN_BELOW_500
        return Verdict(is_served=False, is_final=not is_passing, reason=_reason(answer))

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False  # functions are near: no proxy, no netrc
        return session


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


def _reason(answer: requests.Response) -> str:
    """The `detail` of a problem document, else the status."""
    try:
        detail = answer.json().get("detail")
    except (requests.JSONDecodeError, AttributeError):
        detail = None
    return f"{answer.status_code} {detail or answer.reason}"[:REASON_MAX]
