"""CloudEvents: parse the messages that an event function receives over HTTP.

Accepts a CloudEvent in binary or structured mode (https://cloudevents.io, HTTP binding), a batch,
and a plain JSON POST, each with its own media type.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from cloudevents.exceptions import GenericException
from cloudevents.http import CloudEvent, from_dict, from_http
from flask import Request

from leadline.errors import BadMessage
from leadline.messages.attributes import (
    ATTEMPT,
    BATCH_TYPE,
    CORRELATION_ID,
    NO_ID,
    RESENT,
    TRACEPARENT,
)
from leadline.runtime.http.endpoint import require_json
from leadline.runtime.telemetry import trace_context
from leadline.runtime.telemetry.trace_context import Trace


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message: its parsed JSON and the attributes of its envelope."""

    body: Any
    message_id: str | None
    attributes: Mapping[str, str]
    trace: Trace = field(default_factory=trace_context.current)

    @property
    def is_first(self) -> bool:
        """Whether this message cannot have been processed before."""
        return RESENT not in self.attributes and self.attributes.get(ATTEMPT, "1") == "1"


def receive(request: Request) -> list[Delivery]:
    """The messages of this request: one, or a batch.

    Raises:
        InvalidRequest: 415, neither JSON nor a CloudEvent.
        BadMessage: a message is not JSON, or not the CloudEvent that its headers announce.
    """
    is_binary = "ce-specversion" in request.headers
    # Knative's RabbitmqSource sends no content type if the message has none. A web page of another
    # origin cannot send `ce-` headers.
    if request.mimetype or not is_binary:
        require_json(request)
    body = request.get_data()
    if request.mimetype == BATCH_TYPE:
        return [_from_batch(event) for event in _events(body)]
    if is_binary or request.mimetype == "application/cloudevents+json":
        return [_single(request, body)]
    return [Delivery(_json(body), request.headers.get("X-Rabbitmq-Msg-Id"), {})]


def _single(request: Request, body: bytes) -> Delivery:
    event = _event(from_http, dict(request.headers), body)
    # The library leaves data that is not JSON as it is; parsing it again raises BadMessage.
    return _delivery(event, event.data if isinstance(event.data, dict) else _json(body))


def _events(body: bytes) -> list[Any]:
    events = _json(body)
    if not isinstance(events, list):
        raise BadMessage("a batch is an array of CloudEvents")
    return events


def _from_batch(content: Any) -> Delivery:
    event = _event(from_dict, content)
    delivery = _delivery(event, event.data)
    attributes = delivery.attributes
    return replace(
        delivery,
        trace=trace_context.trace_from_headers(
            attributes.get(CORRELATION_ID), attributes.get(TRACEPARENT)
        ),
    )


def _event(parse: Callable[..., CloudEvent], *args: Any) -> CloudEvent:
    try:
        return parse(*args)
    except (GenericException, ValueError, TypeError, AttributeError, RecursionError):
        # The library validates little: malformed input raises any of these.
        raise BadMessage("not a valid CloudEvent") from None


def _delivery(event: CloudEvent, data: Any) -> Delivery:
    attributes = {name: str(value) for name, value in event.get_attributes().items()}
    message_id = attributes.get("id")
    return Delivery(data, None if message_id == NO_ID else message_id, attributes)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadMessage("the message is not valid JSON") from None
