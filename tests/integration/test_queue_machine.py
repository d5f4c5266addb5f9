"""The work queue against a model, with any sequence of steps."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from leadline.workqueue.enqueue_request import EnqueueRequest, PutResult
from leadline.workqueue.entries.pending_event import Outcome
from leadline.workqueue.entries.settlement import Settlement
from leadline.workqueue.queue import WorkQueue
from tests.servers import eventually
from tests.unit.entries import pending

if TYPE_CHECKING:
    from leadline.workqueue.entries.entry import Entry

USERS = st.integers(1, 3)
VERSIONS = st.integers(1, 9)


class Machine(RuleBasedStateMachine):
    """Users wait, are leased, lose their lease and are settled; `__init__` lists the model."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.queue = WorkQueue(self.client, "test")
        self.queue.begin_first_epoch()
        self.queue.call_ms = 0
        #: By user: the unanswered versions, and the newest version ever put.
        self.pending: dict[int, set[int]] = {}
        self.newest: dict[int, int] = {}
        #: Users that wait for their retry.
        self.delayed: set[int] = set()
        #: Entries under a lease by user, and those whose lease has expired.
        self.leased: dict[int, Entry] = {}
        self.lost: list[Entry] = []

    @rule(events=st.lists(st.tuples(USERS, VERSIONS), min_size=1, max_size=5))
    def put(self, events: list[tuple[int, int]]) -> None:
        results = self.queue.put_all([_enqueue_request(*event) for event in events])
        assert PutResult.TOO_OLD not in results
        assert results.count(PutResult.WAKE_UP_CLAIMED) <= 1, "one job is enough for a whole batch"
        for user, version in events:
            self.pending.setdefault(user, set()).add(version)
            self.newest[user] = max(version, self.newest.get(user, 0))

    @rule()
    def lease(self) -> None:
        self._lease()

    @rule()
    def lose_a_lease(self) -> None:
        """Workers stall until their leases expire: the users are due again."""
        before = set(self.leased)
        lease_ms, self.queue.lease_ms = self.queue.lease_ms, 1
        self._lease()
        self.queue.lease_ms = lease_ms
        lost_users = set(self.leased) - before
        if lost_users:
            eventually(lambda: self.queue.next_due_in_s() == 0, 60, "the leases have expired")
            self.lost += [self.leased.pop(user) for user in lost_users]

    @precondition(lambda self: self.leased)
    @rule(data=st.data(), delay_ms=st.sampled_from([1, 3_600_000]))
    def settle(self, data: st.DataObject, delay_ms: int) -> None:
        entry = self.leased.pop(data.draw(st.sampled_from(sorted(self.leased))))
        answered_ids = data.draw(
            st.sets(st.sampled_from([event.event_id for event in entry.events]))
        )
        answered_events = tuple(
            replace(event, outcome=Outcome("synced", attempts=1, lead_id=5))
            for event in entry.events
            if event.event_id in answered_ids
        )
        settlement = Settlement(entry, events=answered_events, delay_ms=delay_ms)
        assert self.queue.release([settlement]) == [True]
        still_pending = self.pending[entry.user_id] - {int(event_id) for event_id in answered_ids}
        self.pending[entry.user_id] = still_pending
        if still_pending and delay_ms > 1:
            self.delayed.add(entry.user_id)
        elif still_pending:
            eventually(lambda: self.queue.next_due_in_s() == 0, 60, "the user is due again")
            before = self.queue.lease(0).now_ms
            eventually(lambda: self.queue.lease(0).now_ms > before, 60, "all others are due, too")

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def a_stale_worker_writes(self, data: st.DataObject) -> None:
        stale = data.draw(st.sampled_from(self.lost))
        answered_events = tuple(
            replace(event, outcome=Outcome("synced", attempts=1, lead_id=5))
            for event in stale.events
        )
        # A claimed lead id, by its name in Redis.
        claim: dict[str, str | bytes | int] = {"hint": 666}
        settlement = Settlement(stale, claim, answered_events)
        assert self.queue.save([settlement]) == [False]
        assert self.queue.release([settlement]) == [False]

    @invariant()
    def only_users_with_pending_events_wait(self) -> None:
        due = {user for user, versions in self.pending.items() if versions} - set(self.leased)
        self.queue.lease(0)  # ends expired leases
        assert self.queue.depth().due == len(due - self.delayed)

    def _lease(self) -> None:
        expected = {
            user: versions
            for user, versions in self.pending.items()
            if versions and user not in self.leased and user not in self.delayed
        }
        entries = self.queue.lease(50).entries
        assert {
            entry.user_id: {int(event.event_id) for event in entry.events} for entry in entries
        } == expected
        for entry in entries:
            assert entry.state is not None
            assert entry.state.full_name == str(self.newest[entry.user_id])
            assert entry.claimed_lead_id is None
            self.leased[entry.user_id] = entry


def _enqueue_request(user: int, version: int) -> EnqueueRequest:
    state = {"full_name": str(version), "phone": "+77001112233", "stage": "NEW"}
    return EnqueueRequest(
        user_id=user,
        event=replace(pending(event_id=f"{version}"), version=version),
        state=orjson.dumps(state),
        touches_stage=True,
        is_first=True,
        occurred_at_ms=int(time.time() * 1000),
        lead_id=None,
    )


@pytest.fixture(scope="module", autouse=True)
def client(redis_server: str) -> Iterator[None]:
    with redis.Redis.from_url(redis_server) as client:
        Machine.client = client
        yield


TestTheWorkQueue = Machine.TestCase
TestTheWorkQueue.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
