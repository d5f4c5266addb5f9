"""Publishes the reply to an event on the queue that its message names."""

from typing import Any

import structlog

from leadline.messages import contract, topology
from leadline.messages.attributes import (
    FENCE,
    HISTORY,
    JOURNEY,
    OPEN_FIELDS,
    OUTCOME,
    PASSING,
    TAKEN_LEAD,
    cloudevent_headers,
)
from leadline.process import per_process_closing
from leadline.runtime import secrets
from leadline.runtime.rabbitmq.connection import Message
from leadline.runtime.rabbitmq.publisher import Publisher
from leadline.settings import settings
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.pending_event import Outcome, PendingEvent

log = structlog.get_logger()


def send(events: list[tuple[Entry, PendingEvent]]) -> list[bool]:
    """Publish the replies of events with an outcome; returns which ones the broker confirmed."""
    messages = [reply_message(entry, event) for entry, event in events]
    confirmed = _publisher().publish(messages) if messages else []
    for (entry, event), is_sent in zip(events, confirmed, strict=True):
        log_line = log.info if is_sent else log.warning
        log_line(
            "reply sent" if is_sent else "reply not confirmed: will be retried",
            event_id=event.event_id,
            user_id=entry.user_id,
            correlation_id=event.correlation_id,
            status=_status(event.outcome),
        )
    return confirmed


def reply_message(entry: Entry, event: PendingEvent) -> Message:
    """The reply to an event with an outcome; facts for the ledger alone are in headers."""
    outcome = event.outcome
    if outcome is None:
        raise ValueError("the event has no outcome yet")
    reply: dict[str, Any] = {"status": _status(outcome)}
    if outcome.reason is not None:
        reply["reason"] = outcome.reason
    reply |= {"action": event.action, "user": event.user, "user_id": entry.user_id}
    optional_fields = {
        "bitrix_lead_id": outcome.lead_id if outcome.status != "failed" else None,
        "lead": outcome.lead,
        "lead_ids": outcome.lead_ids,
        "contact_ids": outcome.contact_ids,
    }
    reply |= {name: value for name, value in optional_fields.items() if value}
    reply |= {"attempts": outcome.attempts, "event_id": event.event_id}
    if event.version is not None:
        reply["version"] = event.version
    # Other systems get no calls: they may reject unknown fields.
    if event.journey.calls and event.reply_queue == topology.REPLIES:
        reply["calls"] = event.journey.calls
    body = contract.reply_body(reply, event.reply_queue)
    headers = _headers(event, outcome)
    return Message(event.reply_queue, body, event.event_id, event.correlation_id, headers)


def _headers(event: PendingEvent, outcome: Outcome) -> dict[str, str]:
    headers = cloudevent_headers(
        "leadline.reply", event.event_id, settings().source, occurred_at=None
    )
    headers |= {"traceparent": event.traceparent, f"ce-{OUTCOME}": outcome.status}
    if outcome.is_transient:
        headers[f"ce-{PASSING}"] = "true"
    if event.history:
        headers[f"ce-{HISTORY}"] = str(event.history)
    if outcome.status == "failed" and outcome.lead_id:
        headers[f"ce-{TAKEN_LEAD}"] = str(outcome.lead_id)
    if outcome.fence:
        headers[f"ce-{FENCE}"] = outcome.fence
    if outcome.open_fields:
        headers[f"ce-{OPEN_FIELDS}"] = outcome.open_fields
    if journey := event.journey.to_header():
        headers[f"ce-{JOURNEY}"] = journey
    return headers


def _status(outcome: Outcome | None) -> str:
    return "error" if outcome is None or outcome.status in {"failed", "held"} else "success"


@per_process_closing(Publisher.close)
def _publisher() -> Publisher:
    """This process's publisher of replies; connects lazily."""
    return Publisher(secrets.url_source("amqp-url"), topology.queues_of(topology.REPLIES))
