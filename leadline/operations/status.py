"""The status of the system: is everything in sync, and if not, where is the backlog?"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from leadline.bitrix24 import leads, token_bucket
from leadline.errors import BadConfiguration, DatabaseDown, LeadlineError, QueueDefect
from leadline.ledger.backlog import Counts, counts
from leadline.mapping.current import defect, field_map
from leadline.operations import audit, health
from leadline.operations.verdict import Finding, judge
from leadline.results import deliveries
from leadline.runtime.postgres import installation
from leadline.runtime.postgres.pool import StatementTimeout
from leadline.settings import settings
from leadline.sync.fields import last_check
from leadline.workqueue import portal_state

#: A receiver that does not accept a result for longer than this is named: a restart takes less.
REFUSING_S = 60.0


def or_error(load: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A part of the status, or its error: one failed server must not hide the other parts.

    With an error, `is_set` false means that the server is not configured here, where it may not be
    needed, and `is_slow` true that it answers, but took too long for this part.
    """
    try:
        return load()
    except QueueDefect:
        return {"error": "Redis can't be reached"}
    except BadConfiguration as error:
        return {"error": str(error), "is_set": False}
    except StatementTimeout as error:
        return {"error": str(error), "is_slow": True}
    except LeadlineError as error:
        return {"error": str(error)}


def ledger(counts: Callable[[], Counts] = counts) -> dict[str, Any]:
    """Users by sync status, and the backlog; `counts` may return cached numbers."""
    counted = counts()
    return {"users": counted.users, "synced": counted.synced, **asdict(counted)}


def history() -> dict[str, Any]:
    """The history of Postgres: its beginning, and the progress of the sweep after a fork."""
    stored = installation.stored()
    return {
        "originator_id": settings().originator_id or stored.originator_id,
        "since": datetime.fromtimestamp(stored.history / 1000, UTC),
        "sweeping": stored.is_sweeping,
        "swept_to": stored.swept_to,
        "sweep_to": stored.sweep_to,
    }


def queues() -> dict[str, Any]:
    """Messages in each queue of RabbitMQ; None for a queue that does not exist."""
    return rabbitmq()["queues"]


def rabbitmq() -> dict[str, dict[str, Any]]:
    """Messages in each queue (None if it does not exist), and consumers of each that exists."""
    queues = health.queues()
    depths = queues.depths.items()
    return {
        "queues": {name: depth.messages if depth else None for name, depth in depths},
        "consumers": {name: depth.consumers for name, depth in queues.existing.items()},
    }


def rabbitmq_parts(part: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The parts `queues` and `consumers` from what `rabbitmq` returned; both have its error."""
    return {"queues": part, "consumers": part} if "error" in part else part


def work() -> dict[str, Any]:
    """The work queue: users ready, delayed and in flight, the next due time, the heartbeat."""
    state = health.work()
    depth = state.depth
    return {
        "users_due": depth.due,
        "users_delayed": depth.delayed,
        "users_in_a_call": depth.leased,
        "next_call_in_s": 0.0 if depth.due else depth.next_in_s,
        "worker_seen_s_ago": state.silence_s,
    }


def portal() -> dict[str, Any]:
    """Whether calls are paused or Bitrix24 is unreachable, and why.

    `requests_left`: how full the token bucket is, from 0 to 1.
    """
    health_of_portal = health.portal()
    pause, unreachable = health_of_portal.pause, health_of_portal.unreachable
    state: dict[str, Any] = {
        "site": portal_state.worker_heartbeats().site(),
        "paused": pause is not None,
    }
    if pause is not None:
        probe = None if pause.is_manual_hold else datetime.fromtimestamp(pause.next_probe_at, UTC)
        state |= {
            "by_operator": pause.is_manual_hold,
            "by": _holder() if pause.is_manual_hold else None,
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


def _holder() -> str | None:
    """Who paused the calls, as far as the audit trail says."""
    try:
        return audit.last_caller("pause calls")
    except (DatabaseDown, BadConfiguration):
        return None


def budget() -> dict[str, Any]:
    """The operating budget: the limit, and the usage of each method called lately."""
    usage = portal_state.operating_budget().usage(leads.METHODS)
    methods = {
        method: {
            "used_s": used.used_s,
            "frees_at": datetime.fromtimestamp(used.frees_at, UTC),
            "is_used_up": used.is_used_up,
        }
        for method, used in usage.items()
    }
    return {"limit_s": settings().operating_limit_s, "methods": methods}


def rate() -> dict[str, Any]:
    """Requests to Bitrix24 and its limit: `sent` in each slot of `slot_s` seconds, newest last."""
    return {
        "limit_per_s": settings().rate_per_s,
        "burst": settings().burst,
        "slot_s": token_bucket.SLOT_S,
        "sent": portal_state.token_bucket().requests_per_slot(),
    }


def fields() -> dict[str, Any]:
    """The defects of the field map: a mistake in its file, and its misfits with the portal.

    Empty without a map.
    """
    if field_map() is None:
        return {}
    check = last_check.load()
    misfits = [asdict(misfit) for misfit in check.misfits] if check else []
    checked_at = datetime.fromtimestamp(check.checked_at, UTC) if check else None
    return {"defect": defect(), "misfits": misfits, "checked_at": checked_at}


def results() -> dict[str, Any]:
    """Results for other systems, of all endpoints; empty if nothing waits and none was given up."""
    undelivered = deliveries.undelivered()
    endpoints = undelivered.values()
    if not endpoints:
        return {}
    return {
        "waiting": sum(endpoint["waiting"] for endpoint in endpoints),
        "oldest_s": max((endpoint["oldest_s"] or 0.0 for endpoint in endpoints), default=0.0),
        "given_up": sum(endpoint["given_up"] for endpoint in endpoints),
        "refusing": [
            {"endpoint": name, **endpoint}
            for name, endpoint in undelivered.items()
            if _refuses(endpoint)
        ],
    }


def _refuses(endpoint: Mapping[str, Any]) -> bool:
    """Whether an endpoint has failed to accept a result for longer than a blip lasts."""
    return bool(endpoint["problem"]) and (endpoint["oldest_s"] or 0.0) > REFUSING_S


def findings(parts: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """The findings for these parts, the verdict first; loads the parts that are missing."""
    loads = {
        "ledger": ledger,
        "work": work,
        "portal": portal,
        "rate": rate,
        "budget": budget,
        "fields": fields,
        "results": results,
    }
    loaded = dict(parts)
    if not {"queues", "consumers"} <= loaded.keys():
        loaded |= rabbitmq_parts(or_error(rabbitmq))
    loaded |= {name: or_error(load) for name, load in loads.items() if name not in loaded}
    return judge(loaded, datetime.now(UTC))
