"""A message as it reaches an event function by HTTP.

Accepted are a CloudEvent in binary or structured form (https://cloudevents.io, HTTP binding) and a
plain JSON POST. Extension attributes of ours travel in AMQP as headers `ce-<name>`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from cloudevents.exceptions import GenericException
from cloudevents.http import from_http
from flask import Request

from leadline.runtime import context
from leadline.runtime.errors import BadMessage

#: The fields that a client gave, separated by commas: an update leaves an untouched stage alone.
CHANGED = "changed"
#: Among them, or instead of them: look whether the lead really is as both sides last agreed.
LOOK = "look"
#: The version that set the stage, as long as nothing says that it has reached the CRM: an update
#: that left the stage alone then carries what an earlier write, whose message may be lost, set.
STAGE_VERSION = "stageversion"
#: When this sending was made, in unix ms. Who sets it sends again what stays unanswered: one that
#: comes late, to a Redis that has forgotten what it knew, need not be believed.
SENT = "sent"
#: Present on what the relay sends again: an earlier sending may have been served.
RESENT = "resent"
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


@dataclass(frozen=True, slots=True)
class Delivery:
    """The message's JSON and what its envelope said."""

    body: Any
    message_id: str | None
    attributes: Mapping[str, str]

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
        "traceparent": context.current().traceparent,
    }
    if time:
        headers["ce-time"] = time
    return headers


def receive(request: Request) -> Delivery:
    """The message in this request.

    Raises:
        BadMessage: the body is not JSON, or not the CloudEvent that its headers announce.
    """
    body = request.get_data()
    if (
        "ce-specversion" not in request.headers
        and request.mimetype != "application/cloudevents+json"
    ):
        return Delivery(_json(body), request.headers.get("X-Rabbitmq-Msg-Id"), {})
    try:
        event = from_http(dict(request.headers), body)
    except (GenericException, ValueError, TypeError, AttributeError, RecursionError):
        # The library names few mistakes; on others it stumbles.
        raise BadMessage("not a valid CloudEvent") from None
    found = {name: str(value) for name, value in event.get_attributes().items()}
    data = event.data if isinstance(event.data, dict) else _json(body)
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
