"""One user and the way of its last writes, step by step: what an operator wants to know of it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from leadline.errors import QueueDown
from leadline.ledger.history import last_events
from leadline.messages import attempt_log
from leadline.messages.attempt_log import AttemptLog
from leadline.users import queries
from leadline.users.model import UserId
from leadline.workqueue.queue import work_queue

Step = dict[str, Any]


def told(user_id: UserId) -> dict[str, Any]:
    """The user as its readers see it, each of its last events with its `steps`.

    `next_try_at`: when the work queue serves it next; `error`: the work queue can't be asked, so
    that steps of events which are not answered yet may be missing.

    Raises:
        UserNotFound: there is none with this id.
        DatabaseDown: Postgres can't be reached.
    """
    user = queries.get(user_id)
    under_way: dict[str, AttemptLog] = {}
    due_ms, error = None, None
    try:
        owed, due_ms = work_queue().pending_events(user_id)
        under_way = {event.event_id: event.journey for event in owed}
    except QueueDown as down:
        error = str(down)
    events = [
        {**event, "steps": list(steps(event, under_way.get(event["event_id"]) or _kept(way)))}
        for event, way in ((event, event.pop("journey")) for event in last_events(user_id))
    ]
    sync = {**user["sync"], "next_try_at": _at(due_ms), "events": events}
    return {**user, "sync": sync, "error": error}


def _kept(way: Any) -> AttemptLog:
    return attempt_log.parse(way) if way else AttemptLog()


def steps(event: dict[str, Any], way: AttemptLog) -> Iterator[Step]:
    """Of an event of the ledger, in their order in time, as far as they were taken."""
    yield {"step": "accepted", "at": event["occurred_at"]}
    received_at = _at(way.received_ms)
    # Confirms are noted a moment later: RabbitMQ had by then what was received out of it.
    if had := [moment for moment in (event["published_at"], received_at) if moment]:
        yield {"step": "published", "at": min(had), "times": event["sendings"]}
    if received_at:
        yield {"step": "received", "at": received_at}
    # After a failure that may pass the write is sent again: kept are the tries of the last sending.
    for number, one in enumerate(way.tries, 1):
        yield {"step": "attempt", "number": number, "at": _at(one.at_ms), "error": one.error}
    if event["settled_at"]:
        reply = {"step": "replied", "at": event["settled_at"], "outcome": event["state"]}
        yield {**reply, "error": event["reason"]}


def _at(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
