"""CloudEvents: parse the messages that an event function receives over HTTP.

Accepts a CloudEvent in binary or structured mode (https://cloudevents.io, HTTP binding), a batch,
and a plain JSON POST, each with its own media type. In AMQP our extension attributes are headers
`ce-<name>`.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from cloudevents.exceptions import GenericException
from cloudevents.http import CloudEvent, from_dict, from_http
from flask import Request

from leadline.errors import BadMessage
from leadline.runtime.http.endpoint import require_json
from leadline.runtime.telemetry import trace_context
from leadline.runtime.telemetry.trace_context import Trace

#: The fields given by the client, separated by commas: an update does not write an unchanged stage.
CHANGED = "changed"
#: A value in `changed`: look the lead up instead of trusting last applied.
LOOK = "look"
#: The version that last set the stage, while it is not known to be applied: an update that did not
#: change the stage then still carries the stage of an earlier write, whose message may be lost.
STAGE_VERSION = "stageversion"
#: The version that last set the stage in the sender's database: after a failover it shows whether a
#: move was lost.
STAGE_SET = "stageset"
#: When the message was sent, in unix ms. Only senders that resend unanswered events set it: their
#: messages from before the current Redis epoch can be ignored.
SENT = "sent"
#: Present on resent messages: an earlier sending may have been processed.
RESENT = "resent"
#: The history of the sender's database that the version belongs to, in unix ms; a failover or
#: restore that lost versions begins a greater one. The reply carries it too.
HISTORY = "history"
#: The ORIGINATOR_ID of the leads of the sender's installation.
ORIGINATOR = "originator"
#: The final state of the event: synced, superseded, or failed.
OUTCOME = "outcome"
#: On a success: the fencing token of the lease that applied the event. Tokens only grow, so they
#: show which of two versions was written last.
FENCE = "fence"
#: Present on an error reply if the error is transient: the relay will retry.
PASSING = "passing"
#: The attempt log of the event: see `attempt_log`.
JOURNEY = "journey"
#: The delivery attempt, from 1; counted by the connector.
ATTEMPT = "attempt"

#: The `id` of a CloudEvent built from a message without id.
NO_ID = "-"
#: The required attributes of a CloudEvent, apart from `specversion`.
REQUIRED = frozenset({"id", "source", "type"})
#: https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md, 4
BATCH_TYPE = "application/cloudevents-batch+json"
#: Attributes of an event in a batch; a single event has them as HTTP headers
#: (https://github.com/cloudevents/spec/tree/main/cloudevents/extensions, the same names).
CORRELATION_ID, TRACEPARENT = "correlationid", "traceparent"
_CREDIBLE_AHEAD_MS = 86_400_000


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


def attributes(event_type: str, event_id: str, source: str, time: str | None) -> dict[str, str]:
    """CloudEvents attributes as AMQP headers; Knative's RabbitmqSource forwards them."""
    headers = {
        "ce-specversion": "1.0",
        "ce-type": event_type,
        "ce-id": event_id,
        "ce-source": source,
        "traceparent": trace_context.current().traceparent,
    }
    if time:
        headers["ce-time"] = time
    return headers


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
    return _delivery(event, event.data if isinstance(event.data, dict) else _json(body))


def _events(body: bytes) -> list[Any]:
    events = _json(body)
    if not isinstance(events, list):
        raise BadMessage("a batch is an array of CloudEvents")
    return events


def _from_batch(content: Any) -> Delivery:
    event = _event(from_dict, content)
    delivery = _delivery(event, event.data)
    sent = delivery.attributes
    return replace(
        delivery,
        trace=trace_context.trace_from_headers(sent.get(CORRELATION_ID), sent.get(TRACEPARENT)),
    )


def _event(read: Callable[..., CloudEvent], *given: Any) -> CloudEvent:
    try:
        return read(*given)
    except (GenericException, ValueError, TypeError, AttributeError, RecursionError):
        # The library validates little: malformed input raises any of these.
        raise BadMessage("not a valid CloudEvent") from None


def _delivery(event: CloudEvent, data: Any) -> Delivery:
    found = {name: str(value) for name, value in event.get_attributes().items()}
    message_id = found.get("id")
    return Delivery(data, None if message_id == NO_ID else message_id, found)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadMessage("the message is not valid JSON") from None


def number(text: str | None) -> int | None:
    """An attribute as a positive integer of at most 18 digits; None if it is not one."""
    return int(text) if text and re.fullmatch("[1-9][0-9]{0,17}", text) else None


def history_of(attributes: Mapping[str, str]) -> int | None:
    """The history that a message belongs to, in unix ms.

    Raises:
        BadMessage: it is in the future: all messages of the present history would count as lost.
    """
    found = number(attributes.get(HISTORY))
    if found is not None and not is_credible(found):
        raise BadMessage(f"ce-{HISTORY} is more than a day ahead of the clock")
    return found


def is_credible(history: int) -> bool:
    """Whether a history is not in the future, allowing a clock skew of one day."""
    return history <= time.time() * 1000 + _CREDIBLE_AHEAD_MS
