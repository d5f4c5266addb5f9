"""`leadline status`: is everything in step, and if not, where does it wait?"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import redis
import typer

from leadline.ledger.counts import counts
from leadline.messages import topology
from leadline.messages.depths import depths
from leadline.operate.output import Json, as_json, facts
from leadline.runtime import secrets
from leadline.runtime.errors import LeadlineError
from leadline.sync import portals
from leadline.sync.queue import work_queue

#: A part could not be asked.
UNREACHABLE = 3


def status(*, json: Json = False) -> None:
    """Users by state, the oldest that waits, queues, workers, and whether the portal serves us."""
    told = {
        "ledger": _part(_ledger),
        "queues": _part(_queues),
        "work": _part(_work),
        "portal": _part(_portal),
    }
    if json:
        as_json(told)
    else:
        facts(_flat(told))
    if any("error" in part for part in told.values()):
        raise typer.Exit(UNREACHABLE)


def _part(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is told of one part; another one's trouble must not hide it."""
    try:
        return ask()
    except LeadlineError as error:
        return {"error": str(error)}
    except redis.RedisError:
        return {"error": "Redis can't be reached"}


def _ledger() -> dict[str, Any]:
    found = counts()
    return {"users": found.users, "synced": found.synced, **asdict(found)}


def _queues() -> dict[str, Any]:
    names = [queue.name for queue in topology.all_queues()]
    found = depths(secrets.require("amqp-url"), names)
    return {name: depth.messages if depth else None for name, depth in found.items()}


def _work() -> dict[str, Any]:
    depth, next_s = work_queue().depth(), work_queue().next_due_in_s()
    silence_s = portals.presence().silence_s()
    return {
        "users_due": depth.due,
        "users_in_a_call": depth.leased,
        "next_call_in_s": next_s,
        "worker_seen_s_ago": silence_s,
    }


def _portal() -> dict[str, Any]:
    pause = portals.paused().state()
    told: dict[str, Any] = {"paused": pause is not None}
    if pause is not None:
        since, probe = pause.since, pause.next_probe_at
        told |= {
            "reason": pause.reason,
            "since": datetime.fromtimestamp(since, UTC),
            "next_probe": datetime.fromtimestamp(probe, UTC),
        }
    return told | {"requests_left": round(portals.token_bucket().level(), 2)}


def _flat(told: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
    return [
        (f"{part}: {name}", value) for part, each in told.items() for name, value in each.items()
    ]
