"""P1 to P7 of the design, asked of a system at rest: each broken one is a line of text.

The oracles: what clients were promised, the ledger, the portal's leads with their histories, the
dead letters, and every line of our logs.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from leadline.messages import topology
from tests.faults import portal, story
from tests.faults.bench import Bench
from tests.faults.injections import REJECTION, Toll
from tests.faults.wire import Letter
from tests.faults.workload import MARK, Workload

MAX_ATTEMPTS = 3
#: Only these may stay a user's last word; everything else heals by itself.
PERMANENT = {REJECTION, "late"}


@dataclass
class Evidence:
    """Everything that can be known at rest, read once."""

    bench: Bench
    workload: Workload
    toll: Toll
    #: Log files as they were when the round began: name and size.
    users: dict[int, dict[str, Any]] = field(init=False)
    events: dict[int, list[dict[str, Any]]] = field(init=False)
    leads: dict[int, list[dict[str, Any]]] = field(init=False)

    def __post_init__(self) -> None:
        self.users = {row["id"]: row for row in self.bench.rows("SELECT * FROM users")}
        self.events, self.leads = defaultdict(list), defaultdict(list)
        for row in self.bench.rows("SELECT * FROM events ORDER BY user_id, version"):
            self.events[row["user_id"]].append(row)
        for lead in self.bench.control("GET", "leads"):
            if lead["ORIGINATOR_ID"].startswith("leadline"):  # the installation's own name
                self.leads[int(lead["ORIGIN_ID"])].append(lead)

    @cached_property
    def mine(self) -> list[int]:
        """The users of this round, those of unanswered creates among them."""
        mark = f"{MARK} {self.workload.seed}-"
        return [
            user for user, events in self.events.items() if events[0]["full_name"].startswith(mark)
        ]

    @cached_property
    def dead(self) -> dict[str, list[Letter]]:
        """The dead letters of both queues, taken out."""
        found: dict[str, list[Letter]] = defaultdict(list)
        with self.bench.channel() as channel:
            for queue in (topology.REQUESTS, topology.REPLIES):
                grave = topology.dead_letters(queue)
                while True:
                    method, properties, body = channel.basic_get(grave, auto_ack=True)
                    if method is None:
                        break
                    found[grave].append(Letter(body, properties))
        return found


@dataclass(frozen=True)
class Broken:
    """A promise that was not kept, and to whom."""

    promise: str
    what: str
    user: int | None = None

    def __str__(self) -> str:
        whom = f" to user {self.user}" if self.user else ""
        return f"{self.promise} broken{whom}: {self.what}"


def broken(evidence: Evidence) -> list[Broken]:
    """Every promise that was not kept."""
    return [
        *(Broken("P1", text) for text in evidence.workload.broken),
        *_lost(evidence),
        *_unexpected(evidence),
        *_doubled(evidence),
        *_out_of_date(evidence),
        *_backwards(evidence),
        *_over_the_limit(evidence),
        *_wrong_attempts(evidence),
        *_vanished(evidence),
        *_leaked(evidence),
    ]


def _lost(evidence: Evidence) -> Iterator[Broken]:
    """P1: each accepted write is in the ledger as it was answered, and has an end."""
    for write in evidence.workload.writes:
        if write.promised is None or write.user is None:
            continue
        rows = {row["version"]: row for row in evidence.events.get(write.user, [])}
        row = rows.get(write.version or 0)
        if row is None:
            yield Broken("P1", f"lost: {write}", write.user)
        elif any(row[key] != write.promised[key] for key in ("full_name", "phone", "stage")):
            yield Broken("P1", f"stored otherwise: {write}, {row}", write.user)
        elif row["state"] == "open":
            yield Broken("P1", f"never ended: {write}", write.user)


def _unexpected(evidence: Evidence) -> Iterator[Broken]:
    """P1: nothing is in the ledger that nobody asked for, or more often than asked for."""
    asked = Counter(write.body.get("full_name") for write in evidence.workload.writes)
    stored = Counter(
        event["full_name"]
        for user in evidence.mine
        for event in evidence.events[user]
        if "full_name" in event["changed"].split(",")
    )
    for name, times in stored.items():
        if times > asked[name]:
            yield Broken("P1", f"stored {times} times, asked {asked[name]} times: {name}")
    for user in evidence.mine:
        versions = [event["version"] for event in evidence.events[user]]
        if versions != list(range(1, len(versions) + 1)):
            yield Broken("P1", f"versions with gaps: {versions}", user)


def _doubled(evidence: Evidence) -> Iterator[Broken]:
    """P2: never two leads for one user."""
    for user, leads in evidence.leads.items():
        if len(leads) > 1:
            yield Broken("P2", f"{len(leads)} leads", user)
        if user not in evidence.users:
            yield Broken("P2", "a lead of nobody", user)


def _out_of_date(evidence: Evidence) -> Iterator[Broken]:
    """P3: every lead equals its user, and the user knows it; a failure has a reason."""
    for user_id in evidence.mine:
        user, leads = evidence.users[user_id], evidence.leads.get(user_id, [])
        if user["sync_status"] == "failed":
            if user["sync_reason"] not in PERMANENT:
                yield Broken("P3", f"failed for what passes: {user['sync_reason']}", user_id)
        elif user["sync_status"] != "synced":
            yield Broken("P3", f"still {user['sync_status']}", user_id)
        elif not leads:
            yield Broken("P3", "no lead", user_id)
        elif not portal.looks_like(leads[0], user):
            yield Broken("P3", "the lead looks otherwise", user_id)
        elif leads[0]["ID"] != str(user["bitrix_lead_id"]):
            yield Broken("P3", f"the user says lead {user['bitrix_lead_id']}", user_id)


def _backwards(evidence: Evidence) -> Iterator[Broken]:
    """P3: the versions that were written to a lead never go down."""
    for user in evidence.mine:
        version_of = {
            event["full_name"]: event["version"] for event in reversed(evidence.events[user])
        }
        for lead in evidence.leads.get(user, []):
            names = [write["fields"].get("TITLE") for write in lead["history"]]
            versions = [version_of.get(name, 0) for name in names if name]
            if versions != sorted(versions):
                yield Broken("P3", f"written in the order {versions}", user)


def _over_the_limit(evidence: Evidence) -> Iterator[Broken]:
    """P4: the portal had nothing to refuse, but for what a fault made it refuse."""
    refused = evidence.bench.control("GET", "calls")["refused"] - evidence.toll.refusals
    if refused > 0 and not evidence.toll.limits_were_lost:
        yield Broken("P4", f"{refused} requests over the limit")


def _wrong_attempts(evidence: Evidence) -> Iterator[Broken]:
    """P5: three attempts, or one where another would not help."""
    for user in evidence.mine:
        for event in evidence.events[user]:
            if event["attempts"] > MAX_ATTEMPTS:
                yield Broken("P5", f"{event['attempts']} attempts for {event['id']}", user)


def _vanished(evidence: Evidence) -> Iterator[Broken]:
    """P6: a message that can't be served lies in its dead letters, and every one has a reason."""
    for grave, letters in evidence.dead.items():
        for letter in letters:
            if not letter.reason and "x-death" not in letter.headers:
                yield Broken("P6", f"without a reason in {grave}: {letter.properties}")
    if evidence.toll.messages_were_lost:
        return
    for message_id, grave in evidence.toll.poison.items():
        if message_id not in {letter.properties.message_id for letter in evidence.dead[grave]}:
            yield Broken("P6", f"{message_id} is not in {grave}")


def _leaked(evidence: Evidence) -> Iterator[Broken]:
    """P7: no log line has a name, a phone, a password or the webhook's code."""
    passwords = {
        path.read_text(encoding="ascii")
        for server in evidence.bench.servers.values()
        for path in (server.state.root / "passwords").glob("*")
    }
    escaped = MARK.encode("unicode_escape").decode()
    secrets = "|".join(map(re.escape, (MARK, escaped, "local-webhook-code", *sorted(passwords))))
    leak = re.compile(rf"{secrets}|\+7700\d{{7}}")
    for name, line in story.raw_lines(evidence.bench.system):
        if leak.search(line):
            yield Broken("P7", f"{name}: {line}")
