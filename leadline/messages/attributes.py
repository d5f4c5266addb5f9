"""Attributes of our messages: CloudEvents' and our extensions; in AMQP, headers `ce-<name>`."""

import re
import time
from collections.abc import Mapping

from leadline.errors import BadMessage
from leadline.runtime.telemetry import trace_context

#: The fields given by the client, separated by commas: an update writes the stage only if it is one
#: of them.
CHANGED = "changed"
#: A value in `changed`: look the lead up instead of trusting last applied.
LOOK = "look"
#: A value in `changed`: an operator decided to create a lead without searching for duplicates.
CREATE = "create"
#: A value in `changed`: create the lead without starting robots, if the portal supports that.
QUIET = "quiet"
#: A value in `changed`: the person was erased; erase it from the lead too.
ERASE = "erase"
#: The version that last set the stage; absent once that version is known to be applied. Until then
#: every update carries its stage, since the message of that version may be lost.
STAGE_VERSION = "stageversion"
#: The version that last set the stage in the sender's database: after a failover it shows whether a
#: move was lost.
STAGE_SET = "stageset"
#: When this was the user's newest open event in the sender's database, in unix ms. Set only by
#: senders that republish unanswered events: the work queue can ignore their messages from before
#: the current Redis epoch.
SENT = "sent"
#: Present on a republished message: an earlier one of this event may have been processed.
RESENT = "resent"
#: The history of the sender's database that the version belongs to, in unix ms; a failover or
#: restore that lost versions begins a greater one. The reply carries it too.
HISTORY = "history"
#: The ORIGINATOR_ID of the leads of the sender's installation.
ORIGINATOR = "originator"
#: The outcome of the event: synced, superseded, failed, or held until an operator decides.
OUTCOME = "outcome"
#: On a success: the fencing token of the lease that applied the event. Tokens only grow, so they
#: show which of two versions was written last.
FENCE = "fence"
#: Present on an error reply if the error is transient: the relay will retry.
PASSING = "passing"
#: The attempt log of the event: see `attempt_log`.
JOURNEY = "journey"
#: On a success: the further fields that the lead could not take, separated by commas.
OPEN_FIELDS = "openfields"
#: On an error: the lead that was chosen for the user, but belongs to another user or installation.
#: A user that was never synced loses it, so that the next event finds or creates another one.
TAKEN_LEAD = "takenlead"
#: The delivery attempt, from 1; counted by the connector.
ATTEMPT = "attempt"

#: The `id` of a CloudEvent built from a message without id.
NO_ID = "-"
#: The required attributes of a CloudEvent, apart from `specversion`.
REQUIRED = frozenset({"id", "source", "type"})
#: The media type of a batch:
#: https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md, 4
BATCH_TYPE = "application/cloudevents-batch+json"
#: Attributes of an event in a batch; a single event has them as HTTP headers
#: (https://github.com/cloudevents/spec/tree/main/cloudevents/extensions, the same names).
CORRELATION_ID, TRACEPARENT = "correlationid", "traceparent"
_MAX_CLOCK_SKEW_MS = 86_400_000


def cloudevent_headers(
    event_type: str, event_id: str, source: str, occurred_at: str | None
) -> dict[str, str]:
    """CloudEvents attributes as AMQP headers; Knative's RabbitmqSource forwards them."""
    headers = {
        "ce-specversion": "1.0",
        "ce-type": event_type,
        "ce-id": event_id,
        "ce-source": source,
        "traceparent": trace_context.current().traceparent,
    }
    if occurred_at:
        headers["ce-time"] = occurred_at
    return headers


def number(text: str | None) -> int | None:
    """An attribute as a positive integer of at most 18 digits; None if it is not one."""
    return int(text) if text and re.fullmatch("[1-9][0-9]{0,17}", text) else None


def history_of(attributes: Mapping[str, str]) -> int | None:
    """The history that a message belongs to, in unix ms.

    Raises:
        BadMessage: it is in the future, and would make all messages of the current history count as
            lost.
    """
    history = number(attributes.get(HISTORY))
    if history is not None and not is_credible(history):
        raise BadMessage(f"ce-{HISTORY} is more than a day ahead of the clock")
    return history


def is_credible(history: int) -> bool:
    """Whether a history is not in the future, allowing a clock skew of one day."""
    return history <= time.time() * 1000 + _MAX_CLOCK_SKEW_MS
