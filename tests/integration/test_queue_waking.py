"""Wake-ups: enough jobs that no user is left waiting, but not one for each event."""

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

LONG_MS = 60_000


def put(queue: WorkQueue, user: int, version: int = 1) -> PutResult:
    return queue.put(
        EnqueueRequest(
            user_id=user,
            event=replace(pending(event_id=f"{user}-{version}"), version=version),
            state=orjson.dumps({"full_name": "Ann", "phone": "+77001112233", "stage": "NEW"}),
            touches_stage=True,
            is_first=True,
            occurred_at_ms=int(time.time() * 1000),
            lead_id=None,
        )
    )


def queue_of(client: redis.Redis) -> WorkQueue:
    """A queue whose epoch is older than any call."""
    queue = WorkQueue(client, "test")
    queue.begin_first_epoch()
    queue.call_ms = 0
    return queue


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def queue(client: redis.Redis) -> WorkQueue:
    return queue_of(client)


def test_only_the_first_put_claims_the_wakeup(queue: WorkQueue) -> None:
    queue.wakeup.claim_ms = LONG_MS  # however slow the machine is
    assert put(queue, 1) is PutResult.WAKE_UP_CLAIMED
    assert put(queue, 2) is PutResult.WAKE_UP_NOT_NEEDED
    assert not queue.wakeup.claim()


def test_a_claimed_wakeup_that_was_not_enqueued_is_replaced(queue: WorkQueue) -> None:
    put(queue, 1)
    eventually(queue.wakeup.claim, 60, "the wake timer claims a wake-up")


def test_no_job_is_enqueued_while_a_batch_leader_lingers(queue: WorkQueue) -> None:
    put(queue, 1)
    assert queue.batch_leader.claim("a", for_ms=LONG_MS)
    assert put(queue, 2) is PutResult.WAKE_UP_NOT_NEEDED
    assert not queue.wakeup.claim()
    assert not queue.batch_leader.claim("b", for_ms=LONG_MS)
    assert [entry.user_id for entry in queue.lease(50).entries] == [1, 2]


@pytest.mark.parametrize("is_still_leading", [False, True])
def test_a_user_put_after_the_lease_or_the_batch_leader_gets_a_job(
    queue: WorkQueue, *, is_still_leading: bool
) -> None:
    put(queue, 1)
    queue.batch_leader.claim("a", for_ms=LONG_MS)
    queue.lease(50)
    if is_still_leading:
        assert put(queue, 2) is PutResult.WAKE_UP_NOT_NEEDED
        queue.batch_leader.resign("a")
        assert queue.wakeup.claim()
    else:
        queue.batch_leader.resign("a")
        assert not queue.wakeup.claim()
        assert put(queue, 2) is PutResult.WAKE_UP_CLAIMED


def test_changes_of_users_in_a_call_or_before_a_retry_enqueue_no_jobs(queue: WorkQueue) -> None:
    put(queue, 1)
    queue.batch_leader.claim("a", for_ms=LONG_MS)
    (entry,) = queue.lease(50).entries
    queue.batch_leader.resign("a")
    assert put(queue, 1, version=2) is PutResult.WAKE_UP_NOT_NEEDED
    queue.release([Settlement(entry, delay_ms=LONG_MS)])
    assert put(queue, 1, version=3) is PutResult.WAKE_UP_NOT_NEEDED
    assert put(queue, 2) is PutResult.WAKE_UP_CLAIMED


def test_a_job_that_found_no_user_leaves_none_waiting(queue: WorkQueue) -> None:
    put(queue, 1)
    queue.lease(50)
    assert not queue.batch_leader.claim("late", for_ms=LONG_MS)
    assert put(queue, 2) is PutResult.WAKE_UP_CLAIMED


def test_a_batch_leader_that_was_killed_is_replaced(queue: WorkQueue) -> None:
    put(queue, 1)
    queue.batch_leader.claim("killed", for_ms=50)
    put(queue, 2)
    eventually(queue.wakeup.claim, 60, "the wake timer claims a wake-up")
    assert queue.batch_leader.claim("successor", for_ms=LONG_MS)
    queue.batch_leader.resign("killed")
    assert put(queue, 3) is PutResult.WAKE_UP_NOT_NEEDED, "the successor leads"


def test_an_expired_lease_gets_a_job(queue: WorkQueue) -> None:
    queue.lease_ms = 30
    put(queue, 1)
    queue.batch_leader.claim("a", for_ms=LONG_MS)
    queue.lease(50)
    queue.batch_leader.resign("a")
    eventually(queue.wakeup.claim, 60, "the lease has expired")
    assert queue.batch_leader.claim("b", for_ms=LONG_MS)


class Machine(RuleBasedStateMachine):
    """Checks that some worker is always about to lease each user that is due."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.queue = queue_of(self.client)
        self.queue.wakeup.claim_ms = LONG_MS  # however slow the machine is
        #: Numbers versions and batch leaders.
        self.last_number = 0
        #: Claimed wake-ups whose job is not enqueued yet.
        self.claimed = 0
        self.jobs = 0
        self.leaders: list[str] = []
        #: Workers that have leased or released, and not yet checked for other due users.
        self.checking = 0
        self.leased: list[Entry] = []

    def advance_clock(self) -> None:
        """Wait for Redis' next millisecond, or users of the same one would have no order."""
        before = self.client.time()
        while self.client.time()[1] // 1000 == before[1] // 1000:
            pass

    @rule(user=st.integers(1, 4))
    def put(self, user: int) -> None:
        self.advance_clock()
        self.last_number += 1
        self.claimed += put(self.queue, user, self.last_number) is PutResult.WAKE_UP_CLAIMED

    @precondition(lambda self: self.claimed)
    @rule()
    def enqueue(self) -> None:
        self.claimed -= 1
        self.jobs += 1

    @precondition(lambda self: self.jobs)
    @rule()
    def begin_a_job(self) -> None:
        self.jobs -= 1
        self.last_number += 1
        if self.queue.batch_leader.claim(f"{self.last_number}", for_ms=LONG_MS):
            self.leaders.append(f"{self.last_number}")
        assert len(self.leaders) <= 1

    @precondition(lambda self: self.leaders)
    @rule()
    def lease(self) -> None:
        self.leased += self.queue.lease(2).entries

    @precondition(lambda self: self.leaders)
    @rule()
    def resign_leadership(self) -> None:
        self.queue.batch_leader.resign(self.leaders.pop())
        self.checking += 1

    @precondition(lambda self: self.leased)
    @rule(is_done=st.booleans())
    def release(self, *, is_done: bool) -> None:
        entry = self.leased.pop()
        self.advance_clock()
        # A user that keeps changing is delayed, and delays are the wake timer's task.
        self.client.hdel(f"{self.queue.prefix}user:{entry.user_id}", "streak")
        answered_events = tuple(
            replace(event, outcome=Outcome("synced", attempts=1, lead_id=5))
            for event in entry.events
        )
        self.queue.release([Settlement(entry, events=answered_events if is_done else ())])
        self.checking += 1

    @precondition(lambda self: self.checking)
    @rule()
    def check_for_due_users(self) -> None:
        self.checking -= 1
        self.claimed += self.queue.wakeup.claim()

    @invariant()
    def no_user_is_left_waiting(self) -> None:
        if self.queue.depth().due:
            assert self.claimed or self.jobs or self.leaders or self.checking, "a worker will look"


@pytest.fixture(scope="module", autouse=True)
def machines_client(redis_server: str) -> Iterator[None]:
    with redis.Redis.from_url(redis_server) as client:
        Machine.client = client
        yield


TestWaking = Machine.TestCase
TestWaking.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
