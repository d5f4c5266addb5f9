"""The status of the system: is everything in sync, and if not, where is the backlog?"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from leadline.bitrix24 import token_bucket
from leadline.errors import LeadlineError, QueueDefect
from leadline.ledger.backlog import Counts, counts
from leadline.operations import health
from leadline.runtime.postgres import installation
from leadline.settings import settings
from leadline.workqueue import portal_state
from leadline.workqueue.queue import work_queue


def or_error(load: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A part of the status, or its error: one failed server must not hide the other parts."""
    try:
        return load()
    except QueueDefect:
        return {"error": "Redis can't be reached"}
    except LeadlineError as error:
        return {"error": str(error)}


def ledger(counts: Callable[[], Counts] = counts) -> dict[str, Any]:
    """Users by sync status, and the backlog."""
    found = counts()
    return {"users": found.users, "synced": found.synced, **asdict(found)}


def history() -> dict[str, Any]:
    """The history of Postgres: its beginning, and the progress of the sweep after a fork."""
    found = installation.stored()
    return {
        "originator_id": settings().originator_id or found.originator_id,
        "since": datetime.fromtimestamp(found.history / 1000, UTC),
        "sweeping": found.is_sweeping,
        "swept_to": found.swept_to,
        "sweep_to": found.sweep_to,
    }


def queues() -> dict[str, Any]:
    """Messages in each queue of RabbitMQ; None if it does not exist."""
    found = health.queues().depths
    return {name: depth.messages if depth else None for name, depth in found.items()}


def work() -> dict[str, Any]:
    """The work queue: users ready and in flight, the next due time, and the last heartbeat."""
    found, next_s = health.work(), work_queue().next_due_in_s()
    return {
        "users_due": found.depth.due,
        "users_in_a_call": found.depth.leased,
        "next_call_in_s": next_s,
        "worker_seen_s_ago": found.silence_s,
    }


def portal() -> dict[str, Any]:
    """Whether calls are paused or Bitrix24 is unreachable, why, and how many requests are left."""
    found = health.portal()
    pause, unreachable = found.pause, found.unreachable
    state: dict[str, Any] = {"paused": pause is not None}
    if pause is not None:
        probe = None if pause.is_held else datetime.fromtimestamp(pause.next_probe_at, UTC)
        state |= {
            "by_operator": pause.is_held,
            "reason": pause.reason,
            "code": pause.code,
            "since": datetime.fromtimestamp(pause.since, UTC),
            "next_probe": probe,
        }
    state["reachable"] = unreachable is None
    if unreachable is not None:
        state |= {
            "unreachable_since": datetime.fromtimestamp(unreachable.since, UTC),
            "unreachable_kind": unreachable.code,
            "unreachable_reason": unreachable.reason,
        }
    return state | {"requests_left": round(portal_state.token_bucket().level(), 2)}


def rate() -> dict[str, Any]:
    """Requests to Bitrix24 and its limit: `sent` in each slot of `slot_s` seconds, newest last."""
    return {
        "limit_per_s": settings().rate_per_s,
        "burst": settings().burst,
        "slot_s": token_bucket.SLOT_S,
        "sent": portal_state.token_bucket().requests_per_slot(),
    }
