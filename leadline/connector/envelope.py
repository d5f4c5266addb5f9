"""RabbitMQ messages as CloudEvents over HTTP: a single one in binary mode, several as a batch.

https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md
"""

import re
from typing import Any

import orjson

from leadline.connector.message import ReceivedMessage
from leadline.messages.attributes import (
    ATTEMPT,
    BATCH_TYPE,
    CORRELATION_ID,
    NO_ID,
    REQUIRED,
    RESENT,
    TRACEPARENT,
)
from leadline.runtime.http import auth
from leadline.runtime.http.endpoint import is_json

CloudEvent = dict[str, Any]

_JSON = "application/json"
#: Valid CloudEvents attribute names; others may not be valid HTTP headers.
_ATTRIBUTE = re.compile(r"ce-([a-z0-9]+)")


def single_headers(message: ReceivedMessage) -> dict[str, str]:
    """The request headers of a single message: attributes as `ce-*`, trace and correlation id."""
    properties = message.properties
    headers = {"Content-Type": _media_type(properties.content_type), **_common_headers()}
    headers |= {f"ce-{name}": value for name, value in _attributes(message).items()}
    if traceparent := (properties.headers or {}).get(TRACEPARENT):
        headers[TRACEPARENT] = _printable(traceparent)
    if properties.correlation_id:
        headers["X-Call-Id"] = _printable(properties.correlation_id)
    return headers


def batch_headers() -> dict[str, str]:
    """The request headers of a batch."""
    return {"Content-Type": BATCH_TYPE, **_common_headers()}


def cloud_event(message: ReceivedMessage) -> CloudEvent | None:
    """The message as a CloudEvent of a batch; None if it must be posted alone, in binary mode."""
    properties = message.properties
    attributes: CloudEvent = {**_attributes(message)}
    if (
        properties.content_type not in {None, "", _JSON}
        or attributes["specversion"] != "1.0"
        or not attributes.keys() >= REQUIRED
        or not _is_json(message.body)
    ):
        return None
    if traceparent := (properties.headers or {}).get(TRACEPARENT):
        attributes[TRACEPARENT] = _printable(traceparent)
    if properties.correlation_id:
        attributes[CORRELATION_ID] = _printable(properties.correlation_id)
    return {**attributes, "datacontenttype": _JSON, "data": orjson.Fragment(message.body)}


def _media_type(content_type: object) -> str:
    """The sender's content type; JSON if it is missing or no function accepts it."""
    media_type = _printable(content_type or "")
    return media_type if is_json(media_type) else _JSON


def _common_headers() -> dict[str, str]:
    """The headers of every request to a function."""
    key = auth.own_key()
    return {"Authorization": f"Bearer {key}"} if key else {}


def _attributes(message: ReceivedMessage) -> dict[str, str]:
    """CloudEvents attributes by name, with defaults if the sender set none."""
    attributes = {
        match[1]: _printable(value)
        for name, value in (message.properties.headers or {}).items()
        if (match := _ATTRIBUTE.fullmatch(name))
    }
    if "specversion" not in attributes:
        message_id = _printable(message.properties.message_id or "")
        attributes |= {"specversion": "1.0", "type": "amqp.message", "source": "/amqp"}
        attributes["id"] = message_id or NO_ID
    if message.maybe_served:
        attributes[RESENT] = "true"
    attributes[ATTEMPT] = str(message.attempt)
    return attributes


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def _printable(value: object) -> str:
    """A safe header value: printable ASCII, at most 1000 characters."""
    text = str(value)
    if not (text.isascii() and text.isprintable()):
        text = "".join(char for char in text if char.isascii() and char.isprintable())
    return text[:1000]
