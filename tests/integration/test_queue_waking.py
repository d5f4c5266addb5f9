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


def put(work: WorkQueue, user: int, version: int = 1) -> PutResult:
    return work.put(
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
    work = WorkQueue(client, "test")
    work.begin_first_epoch()
    work.call_ms = 0
    return work


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def work(client: redis.Redis) -> WorkQueue:
    return queue_of(client)


def test_only_the_first_put_claims_the_wakeup(work: WorkQueue) -> None:
    work.wakeup.claim_ms = LONG_MS  # however slow the machine is
    assert put(work, 1) is PutResult.WAKE_UP_CLAIMED
    assert put(work, 2) is PutResult.WAKE_UP_NOT_NEEDED
    assert not work.wakeup.claim()


def test_a_claimed_wakeup_that_was_not_enqueued_is_replaced(work: WorkQueue) -> None:
    put(work, 1)
    eventually(work.wakeup.claim, 60, "the wake timer claims a wake-up")


def test_no_job_is_enqueued_while_a_batch_leader_lingers(work: WorkQueue) -> None:
    put(work, 1)
    assert work.batch_leader.claim("a", LONG_MS)
    assert put(work, 2) is PutResult.WAKE_UP_NOT_NEEDED
    assert not work.wakeup.claim()
    assert not work.batch_leader.claim("b", LONG_MS)
    assert [entry.user_id for entry in work.lease(50).entries] == [1, 2]


@pytest.mark.parametrize("has_leased", [False, True])
def test_a_user_put_after_the_lease_or_the_batch_leader_gets_a_job(
    work: WorkQueue, *, has_leased: bool
) -> None:
    put(work, 1)
    work.batch_leader.claim("a", LONG_MS)
    work.lease(50)
    if has_leased:
        assert put(work, 2) is PutResult.WAKE_UP_NOT_NEEDED
        work.batch_leader.resign("a")
        assert work.wakeup.claim()
    else:
        work.batch_leader.resign("a")
        assert not work.wakeup.claim()
        assert put(work, 2) is PutResult.WAKE_UP_CLAIMED


def test_changes_of_users_in_a_call_or_before_a_retry_enqueue_no_jobs(work: WorkQueue) -> None:
    put(work, 1)
    work.batch_leader.claim("a", LONG_MS)
    (entry,) = work.lease(50).entries
    work.batch_leader.resign("a")
    assert put(work, 1, 2) is PutResult.WAKE_UP_NOT_NEEDED
    work.release([Settlement(entry, delay_ms=LONG_MS)])
    assert put(work, 1, 3) is PutResult.WAKE_UP_NOT_NEEDED
    assert put(work, 2) is PutResult.WAKE_UP_CLAIMED


def test_a_job_that_found_no_user_leaves_none_waiting(work: WorkQueue) -> None:
    put(work, 1)
    work.lease(50)
    assert not work.batch_leader.claim("late", LONG_MS)
    assert put(work, 2) is PutResult.WAKE_UP_CLAIMED


def test_a_batch_leader_that_was_killed_is_replaced(work: WorkQueue) -> None:
    put(work, 1)
    work.batch_leader.claim("killed", 50)
    put(work, 2)
    eventually(work.wakeup.claim, 60, "the wake timer claims a wake-up")
    assert work.batch_leader.claim("successor", LONG_MS)
    work.batch_leader.resign("killed")
    assert put(work, 3) is PutResult.WAKE_UP_NOT_NEEDED, "the successor leads"


def test_an_expired_lease_gets_a_job(work: WorkQueue) -> None:
    work.lease_ms = 30
    put(work, 1)
    work.batch_leader.claim("a", LONG_MS)
    work.lease(50)
    work.batch_leader.resign("a")
    eventually(work.wakeup.claim, 60, "the lease has expired")
    assert work.batch_leader.claim("b", LONG_MS)


class Machine(RuleBasedStateMachine):
    """Checks that some worker is always about to lease each user that is due."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.work = queue_of(self.client)
        self.work.wakeup.claim_ms = LONG_MS  # however slow the machine is
        self.version = 0
        #: Claimed wake-ups whose job is not enqueued yet.
        self.claimed = 0
        self.jobs = 0
        #: Batch leaders; workers that have leased or released and not yet checked for other due
        #: users.
        self.leaders: list[str] = []
        self.checking = 0
        self.held: list[Entry] = []

    def tick(self) -> None:
        """Advance Redis' clock: the order of due users must not depend on the machine's speed."""
        before = self.client.time()
        while self.client.time()[1] // 1000 == before[1] // 1000:
            pass

    @rule(user=st.integers(1, 4))
    def put(self, user: int) -> None:
        self.tick()
        self.version += 1
        self.claimed += put(self.work, user, self.version) is PutResult.WAKE_UP_CLAIMED

    @precondition(lambda self: self.claimed)
    @rule()
    def enqueue(self) -> None:
        self.claimed -= 1
        self.jobs += 1

    @precondition(lambda self: self.jobs)
    @rule()
    def begin_a_job(self) -> None:
        self.jobs -= 1
        self.version += 1
        if self.work.batch_leader.claim(f"{self.version}", LONG_MS):
            self.leaders.append(f"{self.version}")
        assert len(self.leaders) <= 1

    @precondition(lambda self: self.leaders)
    @rule()
    def lease(self) -> None:
        self.held += self.work.lease(2).entries

    @precondition(lambda self: self.leaders)
    @rule()
    def resign_leadership(self) -> None:
        self.work.batch_leader.resign(self.leaders.pop())
        self.checking += 1

    @precondition(lambda self: self.held)
    @rule(is_done=st.booleans())
    def release(self, *, is_done: bool) -> None:
        entry = self.held.pop()
        self.tick()
        # A user that keeps changing is delayed, and delays are the wake timer's task.
        self.client.hdel(f"{self.work.prefix}user:{entry.user_id}", "streak")
        answered_events = tuple(
            replace(event, outcome=Outcome("synced", 1, 5)) for event in entry.events
        )
        self.work.release([Settlement(entry, {}, answered_events if is_done else ())])
        self.checking += 1

    @precondition(lambda self: self.checking)
    @rule()
    def check_for_due_users(self) -> None:
        self.checking -= 1
        self.claimed += self.work.wakeup.claim()

    @invariant()
    def no_user_is_left_waiting(self) -> None:
        acting = self.claimed + len(self.leaders) + self.checking
        assert not self.work.depth().due or acting or self.jobs


@pytest.fixture(scope="module", autouse=True)
def machines_client(redis_server: str) -> Iterator[None]:
    with redis.Redis.from_url(redis_server) as client:
        Machine.client = client
        yield


TestWaking = Machine.TestCase
TestWaking.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
