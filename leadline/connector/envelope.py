"""A message of RabbitMQ's as a CloudEvent: alone as headers of its body, or as one of a batch.

https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md
"""

import re
from typing import Any

import orjson

from leadline.connector.message import Received
from leadline.messages.cloudevents import (
    ATTEMPT,
    BATCHED,
    CORRELATION_ID,
    NO_ID,
    REQUIRED,
    RESENT,
    TRACEPARENT,
)
from leadline.runtime.http import auth
from leadline.runtime.http.endpoint import is_json

Event = dict[str, Any]

_JSON = "application/json"
#: CloudEvents' attribute names; any other name may be one that HTTP can't carry.
_ATTRIBUTE = re.compile(r"ce-([a-z0-9]+)")


def alone(message: Received) -> dict[str, str]:
    """The headers of its request: `ce-*` and the trace as they came, the rest by name."""
    properties = message.properties
    headers = {"Content-Type": _media_type(properties.content_type), **_common()}
    headers |= {f"ce-{name}": value for name, value in _attributes(message).items()}
    if traceparent := (properties.headers or {}).get(TRACEPARENT):
        headers[TRACEPARENT] = _printable(traceparent)
    if properties.correlation_id:
        headers["X-Call-Id"] = _printable(properties.correlation_id)
    return headers


def batched() -> dict[str, str]:
    """The headers of a batch's request."""
    return {"Content-Type": BATCHED, **_common()}


def event(message: Received) -> Event | None:
    """The message as one of a batch; None where something is odd: then it must go alone."""
    properties = message.properties
    made: Event = {**_attributes(message)}
    if (
        properties.content_type not in {None, "", _JSON}
        or made["specversion"] != "1.0"
        or not made.keys() >= REQUIRED
        or not _is_json(message.body)
    ):
        return None
    if traceparent := (properties.headers or {}).get(TRACEPARENT):
        made[TRACEPARENT] = _printable(traceparent)
    if properties.correlation_id:
        made[CORRELATION_ID] = _printable(properties.correlation_id)
    return {**made, "datacontenttype": _JSON, "data": orjson.Fragment(message.body)}


def _media_type(sent: object) -> str:
    """As the sender says; JSON where it says nothing, or names a type that no function takes."""
    given = _printable(sent or "")
    return given if is_json(given) else _JSON


def _common() -> dict[str, str]:
    """What every request to a function carries."""
    key = auth.own_key()
    return {"Authorization": f"Bearer {key}"} if key else {}


def _attributes(message: Received) -> dict[str, str]:
    """CloudEvents attributes by name, made up where the sender gave none."""
    found = {
        match[1]: _printable(value)
        for name, value in (message.properties.headers or {}).items()
        if (match := _ATTRIBUTE.fullmatch(name))
    }
    if "specversion" not in found:
        message_id = _printable(message.properties.message_id or "")
        found |= {"specversion": "1.0", "type": "amqp.message", "source": "/amqp"}
        found["id"] = message_id or NO_ID
    if message.may_be_served:
        found[RESENT] = "true"
    found[ATTEMPT] = str(message.attempt)
    return found


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def _printable(value: object) -> str:
    """A header value that no odd byte can break."""
    text = str(value)
    if not (text.isascii() and text.isprintable()):
        text = "".join(one for one in text if one.isascii() and one.isprintable())
    return text[:1000]
