"""What must hold when a history has come to rest; each broken rule is a line of text."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import orjson

from leadline.messages import topology
from tests.simulation.broker import letters
from tests.simulation.plan import NAMES, PHONES
from tests.simulation.system import FOREIGN, FOREIGN_QUEUE, System

#: Requests may leave a little closer together than their tokens came.
SLACK = 3


def broken(system: System) -> list[str]:
    """Every rule that was broken."""
    events: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in system.postgres.run_now("SELECT * FROM events ORDER BY user_id, version"):
        events[row["user_id"]].append(row)
    return [
        *system.world.broken,
        *_unsettled(system, events),
        *_doubled(system),
        *_different(system, events),
        *_foreign(system),
        *_preconditions(system),
        *_over_the_limit(system),
        *_too_soon(system),
        *_dead_letters(system),
        *_said(system),
    ]


def _unsettled(system: System, events: dict[int, list[dict[str, Any]]]) -> Iterator[str]:
    """Every acknowledged version is in the ledger as it was answered, and has ended."""
    for rows in events.values():
        for row in rows:
            if row["state"] == "open":
                yield f"version {row['version']} of user {row['user_id']} is open at rest"
            if row["state"] == "failed" and row["due_at"] is not None:
                yield f"version {row['version']} of user {row['user_id']} is tried again at rest"
    for one in system.answered:
        if one.status != 200 or one.user_id is None or one.state is None:
            continue
        found = [row for row in events.get(one.user_id, []) if row["version"] == one.version]
        if not found:
            yield f"lost: version {one.version} of user {one.user_id}"
        elif (found[0]["full_name"], found[0]["phone"], found[0]["stage"]) != one.state:
            yield f"stored otherwise: version {one.version} of user {one.user_id}"


def _doubled(system: System) -> Iterator[str]:
    """At most one create for each origin; one more for each lead that a person deleted."""
    made = Counter(origin for _, _, origin, _ in system.portal.creates)
    for origin, times in made.items():
        if times > 1 + (origin in system.deleted):
            yield f"user {origin} has {times} leads"


def _different(system: System, events: dict[int, list[dict[str, Any]]]) -> Iterator[str]:
    """The lead equals the last version, but for what a person has set since."""
    for user in system.postgres.run_now("SELECT * FROM users ORDER BY id"):
        rows = events[user["id"]]
        last = rows[-1]
        if last["state"] == "failed":
            continue
        leads = system.portal.of_user(user["id"])
        if not leads:
            if str(user["id"]) not in system.deleted:
                yield f"user {user['id']} has no lead"
            continue
        lead = leads[-1]
        wanted = {"name": user["full_name"], "stage": user["stage"]}
        for field, value in wanted.items():
            is_other = getattr(lead, field) != value and field not in lead.by_hand
            if is_other and not (field == "stage" and str(user["id"]) in system.deleted):
                yield f"lead {lead.lead_id} of user {user['id']} has another {field}"
        if list(lead.phones.values()) != [user["phone"]]:
            yield f"lead {lead.lead_id} of user {user['id']} has phones {list(lead.phones.values())}"
        if user["bitrix_lead_id"] != lead.lead_id and str(user["id"]) not in system.deleted:
            yield f"user {user['id']} is bound to lead {user['bitrix_lead_id']}"


def _foreign(system: System) -> Iterator[str]:
    """A sender without versions gets its answers, and its lead is one of the states it sent."""
    answered = Counter(
        orjson.loads(one.body)["user_id"] for one in system.broker.queues[FOREIGN_QUEUE]
    )
    for user_id, sent in system.foreign.items():
        if answered[user_id] < 1:
            yield f"foreign user {user_id} got no answer"
        states = {state for _, state in sent}
        for lead in system.portal.of_user(user_id):
            is_one = any(
                lead.name == name and list(lead.phones.values()) == [phone]
                for name, phone, _ in states
            )
            if not is_one and not lead.by_hand:
                yield f"foreign user {user_id} has a lead that nobody sent"


def _preconditions(system: System) -> Iterator[str]:
    """A conditional write follows the version that it names."""
    for one in system.answered:
        if one.expected_version is None or one.status != 200 or one.version is None:
            continue
        if one.version != one.expected_version + 1:
            yield (
                f"a write of user {one.user_id} if version {one.expected_version}"
                f" made version {one.version}"
            )


def _over_the_limit(system: System) -> Iterator[str]:
    """Requests sent in every window: burst and rate."""
    sent = sorted(one.sent_at for one in system.portal.requests)
    burst, rate = system.plan.shape.burst, 2.0
    for first in range(len(sent)):
        for last in range(first + burst, len(sent)):
            allowed = burst + rate * (sent[last] - sent[first]) + SLACK
            if last - first + 1 > allowed:
                yield f"{last - first + 1} requests within {sent[last] - sent[first]:.1f} s"
                return


def _too_soon(system: System) -> Iterator[str]:
    """Attempts of one event: the second 2 s after the first, the third 4 s after that."""
    if any(one.kind == "redis switched over" for one in system.plan.faults):
        return  # its clock jumps, and with it what is due
    attempts: dict[tuple[str, int], float] = {}
    for at, _, _, text, args, facts in system.logs:
        if text.startswith("Processing bitrix_job"):
            attempt = int(str(args[0]))
            event_id = str(facts["event_id"])
            before = attempts.get((event_id, attempt - 1))
            if before is not None and at - before < (0, 0, 2, 4)[attempt] - 0.01:
                yield f"attempt {attempt} {at - before:.2f} s after the one before"
            attempts[event_id, attempt] = at


def _dead_letters(system: System) -> Iterator[str]:
    """Only what nobody could read is dead."""
    poison = sum(one.kind == "poison" for one in system.plan.writes)
    dead = letters(system.broker)
    if len(dead) > poison:
        reasons = Counter(str((one.properties.headers or {}).get("x-reason")) for _, one in dead)
        yield f"{len(dead)} dead letters of {poison}: {dict(reasons)}"
    late = [
        queue
        for queue, waiting in system.broker.queues.items()
        if waiting and queue not in {FOREIGN_QUEUE, *map(topology.dead_letters, _QUEUES)}
    ]
    if late:
        yield f"messages left in {late}"


_QUEUES = (topology.REQUESTS, topology.REPLIES)


def _said(system: System) -> Iterator[str]:
    """Nothing personal and nothing secret in any line of a log."""
    secrets = (*NAMES, *PHONES, *(phone[1:] for phone in PHONES), "webhook-code")
    for _, who, _, text, _, facts in system.logs:
        line = f"{text} {facts}"
        if any(secret in line for secret in secrets):
            yield f"{who} has written {line[:200]}"


def is_foreign(origin: str) -> bool:
    """Whether a lead is one of the sender without versions."""
    return origin.isdigit() and int(origin) >= FOREIGN
