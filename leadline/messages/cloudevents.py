"""A message as it reaches an event function by HTTP.

Accepted are a CloudEvent in binary or structured form (https://cloudevents.io, HTTP binding), a
batch of structured ones, and a plain JSON POST, each with its own media type. Extension attributes
of ours travel in AMQP as headers `ce-<name>`.
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

#: The fields that a client gave, separated by commas: an update leaves an untouched stage alone.
CHANGED = "changed"
#: Among them, or instead of them: look whether the lead really is as both sides last agreed.
LOOK = "look"
#: The version that set the stage, as long as nothing says that it has reached the CRM: an update
#: that left the stage alone then carries what an earlier write, whose message may be lost, set.
STAGE_VERSION = "stageversion"
#: The version that set the stage in the sender's database: after a failover it tells whether
#: a move was lost.
STAGE_SET = "stageset"
#: When this sending was made, in unix ms. Who sets it sends again what stays unanswered: one that
#: comes late, to a Redis that has forgotten what it knew, need not be believed.
SENT = "sent"
#: Present on what the relay sends again: an earlier sending may have been served.
RESENT = "resent"
#: In which history of the sender's database the version counts, in unix ms; a greater one follows
#: a failover or a restore that has lost versions. The reply carries it too.
HISTORY = "history"
#: What the leads of the sender's installation bear as ORIGINATOR_ID.
ORIGINATOR = "originator"
#: How the reply closes the event in the ledger: synced, superseded, or failed.
OUTCOME = "outcome"
#: On a success: the fencing token of the lease that applied it. As they grow, they tell which of
#: two versions was written last.
FENCE = "fence"
#: Present on an error reply whose reason may pass by itself: the ledger asks again later.
PASSING = "passing"
#: How the event fared before its reply: see `journey`.
JOURNEY = "journey"
#: Which delivery this is, 1 for the first; the connector counts.
ATTEMPT = "attempt"

#: The `id` of a CloudEvent made from a message that has none.
NO_ID = "-"
#: What every CloudEvent has beside its `specversion`.
REQUIRED = frozenset({"id", "source", "type"})
#: https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md, 4
BATCHED = "application/cloudevents-batch+json"
#: Of an event in a batch; one that comes alone has them as headers of HTTP's
#: (https://github.com/cloudevents/spec/tree/main/cloudevents/extensions, the same names).
CORRELATION_ID, TRACEPARENT = "correlationid", "traceparent"
_CREDIBLE_AHEAD_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """The message's JSON and what its envelope said."""

    body: Any
    message_id: str | None
    attributes: Mapping[str, str]
    trace: Trace = field(default_factory=trace_context.current)

    @property
    def is_first(self) -> bool:
        """Whether nobody can have served this message before."""
        return RESENT not in self.attributes and self.attributes.get(ATTEMPT, "1") == "1"


def attributes(event_type: str, event_id: str, source: str, time: str | None) -> dict[str, str]:
    """CloudEvents attributes as AMQP headers; Knative's RabbitmqSource passes them through."""
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
    """The messages in this request: one, or those of a batch.

    Raises:
        InvalidRequest: 415, neither JSON nor a CloudEvent.
        BadMessage: one of them is not JSON, or not the CloudEvent that the headers announce.
    """
    is_binary = "ce-specversion" in request.headers
    # Knative's RabbitmqSource names no type where the message had none. `ce-` is no header that a
    # page of another origin can send.
    if request.mimetype or not is_binary:
        require_json(request)
    body = request.get_data()
    if request.mimetype == BATCHED:
        return [_batched(event) for event in _events(body)]
    if is_binary or request.mimetype == "application/cloudevents+json":
        return [_alone(request, body)]
    return [Delivery(_json(body), request.headers.get("X-Rabbitmq-Msg-Id"), {})]


def _alone(request: Request, body: bytes) -> Delivery:
    event = _event(from_http, dict(request.headers), body)
    return _delivery(event, event.data if isinstance(event.data, dict) else _json(body))


def _events(body: bytes) -> list[Any]:
    events = _json(body)
    if not isinstance(events, list):
        raise BadMessage("a batch is an array of CloudEvents")
    return events


def _batched(content: Any) -> Delivery:
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
        # The library names few mistakes; on others it stumbles.
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
    """An attribute that is a positive number of 18 digits at most; None where it is not."""
    return int(text) if text and re.fullmatch("[1-9][0-9]{0,17}", text) else None


def history_of(attributes: Mapping[str, str]) -> int | None:
    """The history that a message belongs to, in unix ms.

    Raises:
        BadMessage: it begins in the future; every message of the present one would count as lost.
    """
    found = number(attributes.get(HISTORY))
    if found is not None and not is_credible(found):
        raise BadMessage(f"ce-{HISTORY} is more than a day ahead of the clock")
    return found


def is_credible(history: int) -> bool:
    """Whether a history can have begun by now, by any clock that is right to a day."""
    return history <= time.time() * 1000 + _CREDIBLE_AHEAD_MS
