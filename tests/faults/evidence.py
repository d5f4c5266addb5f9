"""A round on the bench as a `History`, read once when the system is idle, for the checker."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson
import requests

from leadline.messages import topology
from tests.checker.history import (
    FIELDS,
    DeadLetter,
    History,
    InjectedFaults,
    LedgerEvent,
    LedgerUser,
    State,
    Text,
)
from tests.faults import system_logs
from tests.faults.amqp_client import ReceivedMessage
from tests.faults.bench import OUR_CODE, RATE, Bench
from tests.faults.injections import IN_THE_WAY, Consequences
from tests.faults.portal_log import PortalLog
from tests.faults.workload import MARK, PHONE_BY_HAND, PHONES, Workload
from tests.system import CHECKOUT

_EVENTS = "SELECT * FROM events WHERE user_id > :after ORDER BY user_id, version"
_USERS = "SELECT * FROM users WHERE id > :after"


@dataclass(frozen=True)
class Beginning:
    """The state of the bench when the round began: everything later belongs to the round."""

    last_user: int
    journal_bytes: int

    @classmethod
    def now(cls, bench: Bench) -> "Beginning":
        """The state now, while the bench is idle; earlier publications are forgotten."""
        bench.published.clear()
        (row,) = bench.rows("SELECT COALESCE(max(id), 0) AS last FROM users")
        return cls(last_user=int(row["last"]), journal_bytes=bench.journal.stat().st_size)


@dataclass
class Evidence:
    """All observations of a round."""

    bench: Bench
    workload: Workload
    consequences: Consequences
    beginning: Beginning
    users: dict[int, dict[str, Any]] = field(init=False)
    events: list[dict[str, Any]] = field(init=False)
    leads: dict[int, dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        after = self.beginning.last_user
        self.users = {row["id"]: row for row in self.bench.rows(_USERS, after=after)}
        self.events = self.bench.rows(_EVENTS, after=after)
        self.leads = {int(lead["ID"]): lead for lead in self.bench.control("GET", "leads")}

    @cached_property
    def dead(self) -> dict[str, list[ReceivedMessage]]:
        """The dead letters of both queues, by queue; the first access takes them off it."""
        found: dict[str, list[ReceivedMessage]] = {}
        with self.bench.channel() as channel:
            for queue in (topology.REQUESTS, topology.REPLIES):
                dead_letters = found.setdefault(topology.dead_letter_name(queue), [])
                while True:
                    method, properties, body = channel.basic_get(
                        topology.dead_letter_name(queue), auto_ack=True
                    )
                    if method is None:
                        break
                    dead_letters.append(ReceivedMessage(body, properties))
        return found

    @cached_property
    def portal_log(self) -> PortalLog:
        """The portal's requests in this round."""
        with self.bench.journal.open("rb") as journal:
            journal.seek(self.beginning.journal_bytes)
            return PortalLog(map(orjson.loads, journal), tuple(self.consequences.blurs))

    @cached_property
    def history(self) -> History:
        """The round."""
        # First the listing of dead letters: `self.dead` takes them off their queues.
        texts = [*self._texts()]
        after = self.beginning.last_user
        return History(
            writes=tuple(self.workload.writes),
            users={row["id"]: _user(row) for row in self.users.values()},
            events=tuple(map(_event, self.events)),
            history_number=self._history_number(),
            publications=tuple(self.bench.published.requests),
            replies=tuple(reply for reply in self.bench.published.replies if reply.user > after),
            is_broker_complete=self.bench.is_broker_complete,
            dead_letters=tuple(
                _dead_letter(queue, dead_letter)
                for queue, dead_letters in self.dead.items()
                for dead_letter in dead_letters
            ),
            requests=self.portal_log.requests(),
            rate=RATE,
            leads=self.portal_log.leads(self.leads),
            injected=self._injected_faults(),
            texts=texts,
            secrets=frozenset(self._secrets()),
        )

    def _history_number(self) -> int:
        (row,) = self.bench.rows("SELECT history FROM installation")
        return int(row["history"])

    def _injected_faults(self) -> InjectedFaults:
        return InjectedFaults(
            rejections=frozenset(self.consequences.rejections),
            poison=self.consequences.poison,
            messages_were_lost=self.consequences.messages_were_lost,
            losses=tuple(self.consequences.losses),
            replayed=frozenset(self.consequences.replayed),
            redis_losses=tuple(self.consequences.redis_losses),
            blurs=tuple(self.consequences.blurs),
            forks=tuple(self.consequences.forks),
        )

    def _texts(self) -> Iterator[Text]:
        """Every line of our logs, the listing of the dead letters, and all metrics."""
        for system in self.bench.systems:
            for name, line in system_logs.raw_lines(system):
                yield Text(name, line)
        result = subprocess.run(
            (sys.executable, "-m", "leadline", "dead-letters", "list"),
            cwd=CHECKOUT,
            env={**os.environ, "LEADLINE_STATE": str(self.bench.system.state.root)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        for line in result.stdout.splitlines():
            yield Text("dead letters", line)
        for system in self.bench.systems:
            with self.bench.on_host_of(system):
                for name, port in system.state.ports().items():
                    yield from _metrics(name, port)

    def _secrets(self) -> Iterator[str]:
        yield from (MARK, OUR_CODE, PHONE_BY_HAND, *PHONES)
        for path in self.bench.passwords():
            yield path.read_text(encoding="ascii")


def _metrics(name: str, port: int) -> Iterator[Text]:
    """The metrics of one process; not every port belongs to us."""
    try:
        answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=60)
    except IN_THE_WAY:
        return
    for line in answer.text.splitlines():
        yield Text(f"metrics of {name}", line)


def _state(row: dict[str, Any]) -> State:
    return State(*(row[name] for name in FIELDS))


def _user(row: dict[str, Any]) -> LedgerUser:
    return LedgerUser(
        id=row["id"],
        version=row["version"],
        state=_state(row),
        sync_status=row["sync_status"],
        reason=row["sync_reason"],
        lead_id=row["bitrix_lead_id"],
    )


def _event(row: dict[str, Any]) -> LedgerEvent:
    return LedgerEvent(
        id=str(row["id"]),
        user=row["user_id"],
        version=row["version"],
        action=row["action"],
        changed=frozenset(row["changed"].split(",")) & {*FIELDS},
        state=_state(row),
        outcome=row["state"],
        reason=row["reason"],
        attempts=row["attempts"],
    )


def _dead_letter(queue: str, dead_letter: ReceivedMessage) -> DeadLetter:
    try:
        content = dead_letter.content
    except ValueError:
        content = None
    data = content.get("data", content) if isinstance(content, dict) else None
    event_id = data.get("event_id") if isinstance(data, dict) else None
    reason = dead_letter.reason or str(dead_letter.headers.get("x-death", ""))
    return DeadLetter(
        queue, message_id=dead_letter.properties.message_id, event_id=event_id, reason=reason
    )
