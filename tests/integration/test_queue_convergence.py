"""In any order, with duplicates and failures: one lead that equals the newest state."""

import time
from collections import Counter
from dataclasses import replace
from itertools import count
from typing import Any

import orjson
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadline.bitrix24 import lead_parsing, leads
from leadline.bitrix24.command import Command
from leadline.errors import OutcomeUnknown, PortalDown, Refused, Unavailable
from leadline.sync.decide import Lookup, Write, plan, settle_applied, settle_failure, settle_lookup
from leadline.workqueue.enqueue_request import EnqueueRequest
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.settlement import Settlement
from leadline.workqueue.queue import WorkQueue
from tests.unit.entries import pending

STAGES = ("NEW", "IN_PROCESS", "JUNK")
#: How a call may end: a lost one has run, a cut one has not, and neither is answered.
REFUSED, PAUSED, UNREACHABLE = "refused", "paused", "unreachable"
LOST, CUT, OK = "lost", "cut", "ok"
ERRORS = {
    REFUSED: Refused("limit"),
    PAUSED: PortalDown("plan"),
    UNREACHABLE: Unavailable("unreachable"),
    CUT: OutcomeUnknown("cut"),
}
#: Those that use up an attempt, and those that do not.
COUNTED, UNCOUNTED = (UNREACHABLE, LOST, CUT), (REFUSED, PAUSED)


class FakePortal:
    """Leads of one user, written and listed as in Bitrix24, without I/O."""

    def __init__(self) -> None:
        self.leads: dict[int, dict[str, Any]] = {}
        self._ids = count(100)

    def run(self, command: Command) -> Any:
        fields = dict(command.params.get("fields", {}))
        if command.method == "crm.lead.list":
            return [self._row(lead_id) for lead_id in sorted(self.leads)]
        lead_id = command.params.get("id") or next(self._ids)
        lead = self.leads.setdefault(lead_id, {"rows": {}})
        for row_id, phone in self._phones(fields.pop("fm", {})):
            lead["rows"][row_id or next(self._ids)] = phone
        lead.update(fields)
        rows = [
            {"id": row_id, "typeId": "PHONE", "value": phone}
            for row_id, phone in lead["rows"].items()
        ]
        return {"item": {"id": lead_id, "fm": rows}}

    def _row(self, lead_id: int) -> dict[str, Any]:
        lead = self.leads[lead_id]
        return {
            "ID": str(lead_id),
            "TITLE": lead["title"],
            "NAME": lead["name"],
            "STATUS_ID": lead.get("stageId", "NEW"),
            "ORIGIN_ID": lead["originId"],
            "ORIGINATOR_ID": lead["originatorId"],
            "PHONE": [
                {"ID": str(row_id), "VALUE": phone} for row_id, phone in lead["rows"].items()
            ],
        }

    @staticmethod
    def _phones(value: Any) -> list[tuple[int | None, str]]:
        """The row id (None for a new row) and the phone of each entry.

        A create sends a list; an update sends a map by row id, whose new rows have another key.
        """
        if isinstance(value, list):
            return [(None, row["value"]) for row in value]
        return [(int(key) if key.isdigit() else None, row["value"]) for key, row in value.items()]


class OneUser:
    """One user's messages through the work queue to the portal, with a minimal worker."""

    def __init__(self, queue: WorkQueue) -> None:
        self.queue = queue
        queue.begin_first_epoch()
        queue.call_ms = 0
        self.portal = FakePortal()
        self.replies: Counter[tuple[str, str]] = Counter()
        self.attempts: list[int] = []

    def put(
        self, version: int, state: dict[str, Any], *, touches_stage: bool, is_first: bool
    ) -> None:
        event = replace(pending(event_id=f"e{version}"), version=version)
        self.queue.put(
            EnqueueRequest(
                user_id=7,
                event=event,
                state=orjson.dumps(state),
                touches_stage=touches_stage,
                is_first=is_first,
                occurred_at_ms=int(time.time() * 1000),
                lead_id=None,
            )
        )

    def run_job(self, outcome: str) -> bool:
        """Run one job; returns False if nothing was due."""
        while self.queue.next_due_in_s():  # neither 0, a user is due, nor None, no user waits
            continue  # delays last a millisecond
        leased = self.queue.lease(50)
        for entry in leased.entries:
            settlement = self._settle(entry, outcome)
            self.queue.save([settlement])
            for event in settlement.events:
                if event.outcome:
                    self.replies[event.event_id, event.outcome.status] += 1
                    self.attempts.append(event.outcome.attempts)
            # With a delay of 0 Redis would take the user for one that changed while it was leased,
            # and delay it for longer and longer.
            sent = tuple(event for event in settlement.events if event.outcome)
            self.queue.release([Settlement(entry, events=sent, delay_ms=1)])
        return bool(leased.entries)

    def _settle(self, entry: Entry, outcome: str) -> Settlement:
        step = plan(entry)
        if not isinstance(step, Write | Lookup):
            return settle_applied(entry, last_applied=None)
        command = (
            step.command if isinstance(step, Write) else leads.list_by_origins([7], "leadline")
        )
        if outcome in ERRORS:
            return settle_failure(
                entry, ERRORS[outcome], now_ms=0, is_write=isinstance(step, Write)
            )
        answer = self.portal.run(command)
        if outcome == LOST:
            error = OutcomeUnknown("reset", may_still_run=True)
            return settle_failure(entry, error, now_ms=0, is_write=isinstance(step, Write))
        if isinstance(step, Lookup):
            ours = lead_parsing.parse_leads(answer)
            now_ms = max(entry.wait_until_ms, int(time.time() * 1000))
            return settle_lookup(entry, ours[0] if ours else None, now_ms)
        assert entry.state is not None
        return settle_applied(
            entry,
            lead_parsing.parse_written(answer, command, entry.state),
            is_create=step.is_create,
        )


WRITES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "full_name": st.sampled_from(["Ann", "Bob", "Carl", "D" * 80]),
            "phone": st.sampled_from(["+77001112233", "+77005556677"]),
            "stage": st.sampled_from(STAGES),
        },
    ),
    max_size=5,
)


@pytest.fixture(scope="module")
def client(redis_server: str) -> Any:
    with redis.Redis.from_url(redis_server) as client:
        yield client


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(writes=WRITES, data=st.data())
def test_a_user_ends_as_one_lead_with_its_newest_state_and_each_event_is_answered_once(
    client: redis.Redis, writes: list[dict[str, str]], data: st.DataObject
) -> None:
    client.flushall()
    user = OneUser(WorkQueue(client, "test"))
    states = [({"full_name": "Ann", "phone": "+77001112233", "stage": "NEW"}, True)]
    for write in writes:
        states.append(({**states[-1][0], **write}, "stage" in write))
    versions = range(1, len(states) + 1)
    order = data.draw(st.permutations(versions), label="order of arrival")
    doubled = data.draw(st.lists(st.sampled_from(versions), max_size=4), label="doubled")
    failures_left = 2  # the third attempt is the last, and must succeed
    seen: set[int] = set()
    for version in (*order, *doubled):
        state, touches_stage = states[version - 1]
        outcomes = data.draw(st.lists(st.sampled_from((*UNCOUNTED, *COUNTED, OK)), max_size=3))
        # A repeated event gets its reply again: that is tested elsewhere.
        if f"e{version}" in {event for event, _ in user.replies}:
            continue
        user.put(version, state, touches_stage=touches_stage, is_first=version not in seen)
        seen.add(version)
        for outcome in outcomes:
            user.run_job(outcome if outcome not in COUNTED or failures_left > 0 else OK)
            failures_left -= outcome in COUNTED
    jobs = 0
    while user.queue.next_due_in_s() is not None:
        jobs += user.run_job(OK)
        assert jobs < 10, "a few jobs suffice to settle all events"

    newest = states[-1][0]
    (lead,) = user.portal.leads.values()
    assert lead["title"] == newest["full_name"]
    assert lead["name"] == newest["full_name"][:50]
    assert list(lead["rows"].values()) == [newest["phone"]]
    assert lead["stageId"] == newest["stage"]
    assert Counter(event for event, _ in user.replies.elements()) == {
        f"e{version}": 1 for version in versions
    }
    assert max(user.attempts) <= 3
    synced = {event for event, outcome in user.replies if outcome == "synced"}
    assert f"e{len(states)}" in synced
