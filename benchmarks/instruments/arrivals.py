"""POSTs users at given times and follows each from its POST to its lead in the portal."""

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.instruments import ledger, tables
from benchmarks.instruments.laboratory import BenchSystem

#: Threads that send; more than POSTs are in flight at any time, so that none waits for another.
_SENDERS = 16
#: Generous: a slow answer is measured, not refused.
_ANSWER_WITHIN_S = 30
_SETTLED_WITHIN_S = 120

_LEADS = "SELECT id, bitrix_lead_id FROM users WHERE bitrix_lead_id IS NOT NULL"


@dataclass(frozen=True)
class LeadLatency:
    """Milliseconds from sending a POST to its answer, and to the lead in the portal."""

    answer_ms: float
    lead_ms: float


@dataclass(frozen=True)
class _Post:
    """An answered POST, by the id of its new user."""

    user: int
    #: Unix time.
    sent_at: float
    answer_ms: float


def follow(system: BenchSystem, journal: Path, pauses_s: Iterable[float]) -> list[LeadLatency]:
    """POST a user after each pause, whether or not earlier ones were answered.

    Returns when every event has its reply. `journal` is the emulator's file of calls, whose times
    are those of this machine's clock.
    """
    database = system.url("database")
    since = ledger.now(database)
    posts = _send(system, pauses_s)
    ledger.await_settled(database, since, _SETTLED_WITHIN_S)
    leads = {int(user): int(lead) for user, lead in tables.rows(database, _LEADS)}
    created = _lead_times(journal)
    return [
        LeadLatency(post.answer_ms, (created[leads[post.user]] - post.sent_at) * 1000)
        for post in posts
    ]


def open_connections(system: BenchSystem) -> None:
    """Follow one user from POST to reply, so that every process has opened its connections."""
    since = ledger.now(system.url("database"))
    _send(system, (0,))
    ledger.await_settled(system.url("database"), since, _SETTLED_WITHIN_S)


def _send(system: BenchSystem, pauses_s: Iterable[float]) -> list[_Post]:
    url, key = f"{system.function('create-user')}/users", system.key
    due = time.monotonic()
    with ThreadPoolExecutor(_SENDERS) as pool:
        posts = []
        for pause_s in pauses_s:
            due += pause_s
            time.sleep(max(0.0, due - time.monotonic()))
            posts.append(pool.submit(_post, system, url, key))
    return [post.result() for post in posts]


def _post(system: BenchSystem, url: str, key: str) -> _Post:
    sent_at, started = time.time(), time.perf_counter()
    answer = system.http.post(
        url,
        json={"full_name": "Иван Иванов", "phone": "+77001112233"},
        headers={"Authorization": f"Bearer {key}"},
        timeout=_ANSWER_WITHIN_S,
    )
    answer_ms = (time.perf_counter() - started) * 1000
    answer.raise_for_status()
    return _Post(int(answer.json()["id"]), sent_at, answer_ms)


def _lead_times(journal: Path) -> dict[int, float]:
    """When each lead appeared in the portal (Unix time)."""
    created_at: dict[int, float] = {}
    with journal.open(encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["what"] == "ran" and entry.get("lead"):
                created_at.setdefault(int(entry["lead"]), float(entry["at"]))
    return created_at
