"""The timeline of a user: its last events with their steps and calls."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from leadline.errors import BadConfiguration, QueueError
from leadline.ledger import held_users
from leadline.ledger.recent_events import last_events, last_states
from leadline.messages import attempt_log
from leadline.messages.attempt_log import AttemptLog, Call
from leadline.operations import calls
from leadline.operations.diagnosis.why import Why, why
from leadline.users import queries
from leadline.users.model import UserId
from leadline.workqueue import portal_state
from leadline.workqueue.queue import work_queue

Step = dict[str, Any]


def read(user_id: UserId) -> dict[str, Any]:
    """The user as `GET /users/{id}` returns it, each of its last events with `steps` and `calls`.

    Calls are masked (`calls.masked`).

    `next_try_at`: when the user is due for its next call, with `users_before` users due earlier;
    `held`: why it is held for an operator; `why`: the reason of its state, see `diagnosis.why`;
    `error`: the work queue can't be reached, so steps of unsettled events and a pause may be
    missing.

    Raises:
        UserNotFound: no user has this id.
        DatabaseDown: Postgres can't be reached.
    """
    user = queries.get(user_id)
    pending: dict[str, AttemptLog] = {}
    due_ms: int | None = None
    users_before: int | None = None
    paused: str | None = None
    error: str | None = None
    try:
        entry_events, due_ms = work_queue().pending_events(user_id)
        pending = {event.event_id: event.journey for event in entry_events}
        users_before = None if due_ms is None else work_queue().users_before(due_ms)
        pause = portal_state.circuit_breaker().restore_and_read()
        paused = pause.reason if pause else None
    except (QueueError, BadConfiguration) as down:
        error = str(down)
    calls_by_event = calls.by_event(user_id, pending)
    events = [_with_steps(event, pending, calls_by_event) for event in last_events(user_id)]
    sync = {
        **user["sync"],
        "next_try_at": _at(due_ms),
        "users_before": users_before,
        "events": events,
    }
    held_rows = held_users.page(1, user_id=user_id) if sync["status"] == "waiting" else []
    if held_rows:
        sync["held"] = {name: held_rows[0][name] for name in ("reason", "lead_ids", "contact_ids")}
    newest_steps = [step["step"] for step in events[0]["steps"]] if events else []
    cause = (
        Why("whyHeld", reason=held_rows[0]["reason"])
        if held_rows
        else why(sync, newest_steps, paused)
    )
    return {**user, "sync": sync, "why": asdict(cause), "error": error}


def last_calls(user_id: UserId) -> list[dict[str, Any]]:
    """The last events: the state that each carried to Bitrix24, and its `calls`, unmasked.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    try:
        entry_events, _ = work_queue().pending_events(user_id)
        pending = {event.event_id: event.journey for event in entry_events}
    except (QueueError, BadConfiguration):
        pending = {}
    calls_by_event = calls.by_event(user_id, pending)
    return [
        {**state, "calls": calls_by_event.get(state["event_id"], [])}
        for state in last_states(user_id)
    ]


def _with_steps(
    event: dict[str, Any], pending: dict[str, AttemptLog], calls_by_event: dict[str, list[Call]]
) -> dict[str, Any]:
    """An event with `steps` and masked `calls` in place of its stored attempt log, the journey."""
    event_id = event["event_id"]
    journey = event.pop("journey")
    stored_log = attempt_log.parse(journey) if journey else AttemptLog()
    return {
        **event,
        "steps": list(steps(event, pending.get(event_id) or stored_log)),
        "calls": [calls.masked(call) for call in calls_by_event.get(event_id, [])],
    }


def steps(event: dict[str, Any], log: AttemptLog) -> Iterator[Step]:
    """The steps that an event has taken so far, in order of time."""
    yield {"step": "accepted", "at": event["occurred_at"]}
    received_at = _at(log.received_ms)
    # Confirms are recorded late: an event received from RabbitMQ was published before.
    if moments := [moment for moment in (event["published_at"], received_at) if moment]:
        # `times`: how often it was published.
        yield {"step": "published", "at": min(moments), "times": event["sendings"]}
    if received_at:
        yield {"step": "received", "at": received_at}
    # An event that failed is published again: these are the attempts since it was last published.
    for number, attempt in enumerate(log.tries, 1):
        yield {
            "step": "attempt",
            "number": number,
            "at": _at(attempt.at_ms),
            "error": attempt.error,
        }
    if event["settled_at"]:
        reply = {"step": "replied", "at": event["settled_at"], "outcome": event["state"]}
        yield {**reply, "error": event["reason"]}


def _at(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
