"""The work queue on a real Redis: put, lease, settle, and what survives a crash."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
import redis

from leadline.bitrix24.command import CALL_MARGIN_S
from leadline.errors import OutcomeUnknown, QueueDown
from leadline.runtime import clock
from leadline.settings import settings
from leadline.sync.decide import Lookup, plan, settle_failure, settle_lookup
from leadline.workqueue.enqueue_request import EnqueueRequest, PutResult
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.pending_event import Outcome
from leadline.workqueue.entries.settlement import Settlement
from leadline.workqueue.queue import SEND_WITHIN_S, WorkQueue
from tests.servers import eventually
from tests.unit.entries import found_lead, pending


@pytest.fixture
def queue(redis_url: str) -> Any:
    with redis.Redis.from_url(redis_url) as client:
        queue = WorkQueue(client, "test")
        queue.begin_first_epoch()
        # Its epoch is older than any call can last.
        queue.call_ms = 0
        yield queue


@pytest.fixture
def await_lease_end(queue: WorkQueue) -> Callable[[], None]:
    """Shorten leases to 30 ms; returns a function that waits until one has expired."""
    queue.lease_ms = 30

    def wait() -> None:
        eventually(lambda: queue.next_due_in_s() == 0, 60, "the lease has expired")

    return wait


def put(
    queue: WorkQueue,
    version: int | None = 1,
    *,
    user: int = 7,
    name: str = "Ann",
    stage: str | None = "NEW",
    touches_stage: bool | None = True,
    is_first: bool = True,
    occurred_at_ms: int | None = None,
    lead_id: int | None = None,
    event_id: str | None = None,
) -> PutResult:
    """Put an event; by default the first delivery of the user's first event."""
    state = {"full_name": name, "phone": "+77001112233", "stage": stage}
    event = replace(pending(event_id=event_id or f"{user}-{version}"), version=version)
    return queue.put(
        EnqueueRequest(
            user_id=user,
            event=event,
            state=orjson.dumps(state),
            touches_stage=touches_stage,
            is_first=is_first,
            occurred_at_ms=occurred_at_ms or int(time.time() * 1000),
            lead_id=lead_id,
        )
    )


def lease(queue: WorkQueue, limit: int = 50) -> list[Entry]:
    return queue.lease(limit).entries


def lease_one(queue: WorkQueue) -> Entry:
    (entry,) = lease(queue)
    return entry


def finish(queue: WorkQueue, entry: Entry, **fields: Any) -> bool:
    """Answer every event, store these fields (by their names in Redis), and release the lease.

    Returns whether the lease was still valid.
    """
    events = tuple(
        replace(event, outcome=Outcome("synced", attempts=1, lead_id=5)) for event in entry.events
    )
    stored = queue.release([Settlement(entry, fields, events)])
    return stored == [True]


def _let_a_millisecond_pass(queue: WorkQueue) -> None:
    before = queue.lease(0).now_ms  # leases no user: it only reads Redis' clock
    eventually(lambda: queue.lease(0).now_ms > before, 60, "Redis' clock advances")


def name_of(entry: Entry) -> str:
    assert entry.state is not None
    return entry.state.full_name


def test_an_event_is_due_at_once_with_the_state_it_carried(queue: WorkQueue) -> None:
    put(queue)
    assert queue.next_due_in_s() == 0
    entry = lease_one(queue)
    assert (entry.user_id, name_of(entry), entry.claimed_lead_id) == (7, "Ann", None)
    assert [event.event_id for event in entry.events] == ["7-1"]
    assert not entry.needs_lookup


def test_a_user_waits_once_however_many_events_it_has(queue: WorkQueue) -> None:
    for version in range(1, 11):
        put(queue, version, name=f"Ann {version}")
    assert queue.depth().due == 1
    entry = lease_one(queue)
    assert name_of(entry) == "Ann 10"
    assert [event.version for event in entry.events] == list(range(10, 0, -1))


def test_a_late_older_message_does_not_replace_the_state(queue: WorkQueue) -> None:
    put(queue, 2, name="New")
    put(queue, 1, name="Old")
    assert name_of(lease_one(queue)) == "New"


def test_messages_without_a_version_count_in_order_of_arrival(queue: WorkQueue) -> None:
    put(queue, 3, name="Third")
    put(queue, None, name="Fourth", event_id="a")
    put(queue, None, name="Fifth", event_id="b")
    put(queue, None, name="Fifth", event_id="b")
    entry = lease_one(queue)
    assert name_of(entry) == "Fifth"
    assert [event.event_id for event in entry.events] == ["b", "a", "7-3"]
    finish(queue, entry)
    put(queue, 4, name="Version 4")
    assert name_of(lease_one(queue)) == "Version 4"


def test_a_duplicate_does_not_reset_the_attempts(queue: WorkQueue) -> None:
    put(queue)
    entry = lease_one(queue)
    tried = tuple(event.after_attempt() for event in entry.events)
    assert queue.release([Settlement(entry, events=tried)]) == [True]
    put(queue)
    assert [event.attempts for event in lease_one(queue).events] == [1]


def test_a_leased_user_is_leased_to_no_other_worker(queue: WorkQueue) -> None:
    put(queue)
    entry = lease_one(queue)
    put(queue, 2, name="While leased")
    assert lease(queue) == []
    assert finish(queue, entry)
    repeat = lease_one(queue)
    assert name_of(repeat) == "While leased"
    assert [event.version for event in repeat.events] == [2]


def test_a_settled_and_released_user_is_deleted(queue: WorkQueue) -> None:
    put(queue)
    assert finish(queue, lease_one(queue))
    assert queue.next_due_in_s() is None
    assert lease(queue) == []


def test_a_newer_event_does_not_shorten_a_delay(queue: WorkQueue) -> None:
    put(queue)
    queue.release([Settlement(lease_one(queue), delay_ms=2000)])
    before = queue.next_due_in_s()
    put(queue, 2)
    after = queue.next_due_in_s()
    assert before is not None
    assert after is not None
    assert 1.5 < after <= before <= 2
    assert lease(queue) == []


def test_the_longest_waiting_users_are_leased_first_and_no_more_than_requested(
    queue: WorkQueue,
) -> None:
    for user in range(1, 8):
        put(queue, user=user)
        _let_a_millisecond_pass(queue)
    leased = queue.lease(3)
    assert [entry.user_id for entry in leased.entries] == [1, 2, 3]
    assert queue.depth().due == 4
    assert [entry.user_id for entry in lease(queue)] == [4, 5, 6, 7]


def test_an_expired_lease_is_leased_again(
    queue: WorkQueue, await_lease_end: Callable[[], None]
) -> None:
    put(queue)
    lease_one(queue)
    await_lease_end()
    leased = queue.lease(50)
    assert leased.expired == 1
    assert [event.event_id for event in leased.entries[0].events] == ["7-1"]


def test_a_worker_that_lost_its_lease_can_write_nothing(
    queue: WorkQueue, await_lease_end: Callable[[], None]
) -> None:
    put(queue)
    stale = lease_one(queue)
    await_lease_end()
    successor = lease_one(queue)
    assert not finish(queue, stale)
    claim: dict[str, str | bytes | int] = {"hint": 666}  # a claimed lead id, by its name in Redis
    assert queue.save([Settlement(stale, claim)]) == [False]
    assert finish(queue, successor)
    put(queue, 2)
    assert lease_one(queue).claimed_lead_id is None


def test_a_lease_cannot_be_released_twice(queue: WorkQueue) -> None:
    put(queue)
    entry = lease_one(queue)
    assert finish(queue, entry)
    assert not finish(queue, entry)


def test_a_lease_does_not_outlive_a_later_one_even_if_redis_clock_was_set_back(
    queue: WorkQueue, redis_url: str, await_lease_end: Callable[[], None]
) -> None:
    put(queue)
    # As if the lease was made while Redis' clock was an hour ahead.
    ahead = str(int(time.time() + 3600) * 1_000_000)
    with redis.Redis.from_url(redis_url) as client:
        client.hset(f"{queue.prefix}user:7", "fence", ahead)
    stale = replace(lease_one(queue), fence=ahead)
    await_lease_end()
    successor = lease_one(queue)
    assert not finish(queue, stale)
    assert int(successor.fence) > int(ahead), (
        "otherwise the ledger would take the later lease for the older"
    )
    assert finish(queue, successor)


def test_the_time_to_send_counts_from_before_the_lease_command(
    queue: WorkQueue, redis_url: str
) -> None:
    """Redis' answer takes time: the lease may have begun as soon as the command was sent."""
    put(queue)
    with redis.Redis.from_url(redis_url) as client:
        client.client_pause(2000)  # milliseconds
    asked_at = clock.now_s()
    leased = queue.lease(50)
    waited_s = clock.now_s() - asked_at
    assert waited_s > 0.5
    assert leased.send_until < asked_at + SEND_WITHIN_S + waited_s / 2


def test_an_idle_user_is_kept_once_an_event_waits(
    queue: WorkQueue, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user, idle_ttl_s in ((7, 3600), (8, 1)):
        monkeypatch.setattr("leadline.workqueue.queue.IDLE_TTL_S", idle_ttl_s)
        put(queue, user=user)
        finish(queue, lease_one(queue), agreed=orjson.dumps({"lead_id": user}))
    with redis.Redis.from_url(redis_url) as client:
        assert client.ttl(f"{queue.prefix}user:7") > 0
        put(queue, 2, user=7)
        assert client.ttl(f"{queue.prefix}user:7") == -1, "the entry never expires"
        eventually(lambda: not client.exists(f"{queue.prefix}user:8"), 60, "idle users are deleted")
    entry = lease_one(queue)
    assert [event.event_id for event in entry.events] == ["7-2"]
    assert entry.known_lead_id == 7


@pytest.mark.parametrize("is_known", [False, True])
def test_an_interrupted_call_is_followed_by_a_lookup(
    queue: WorkQueue, await_lease_end: Callable[[], None], *, is_known: bool
) -> None:
    """The lead may have changed: last applied is only a claim, and the change may be reverted."""
    put(queue)
    entry = lease_one(queue)
    if is_known:
        finish(queue, entry, agreed=orjson.dumps({"lead_id": 5}))
        put(queue, 2)
        entry = lease_one(queue)
    assert not entry.needs_lookup
    await_lease_end()
    cut_off = lease_one(queue)
    assert (cut_off.needs_lookup, cut_off.known_lead_id) == (True, 5 if is_known else None)
    assert plan(cut_off) == Lookup()


def test_a_failed_create_alone_needs_no_lookup(queue: WorkQueue) -> None:
    put(queue)
    queue.release([Settlement(lease_one(queue))])
    assert not lease_one(queue).needs_lookup


@pytest.mark.parametrize(
    "message", [{"is_first": False}, {"version": 2}, {"version": None}, {"occurred_at_ms": 1}]
)
def test_a_user_whose_lead_redis_may_have_lost_is_looked_up(queue: WorkQueue, message: Any) -> None:
    put(queue, **message)
    entry = lease_one(queue)
    assert entry.needs_lookup
    queue.release([settle_lookup(entry, lead=None, now_ms=queue.lease(0).now_ms)])
    assert not lease_one(queue).needs_lookup, "once is enough"


def test_a_redelivery_of_a_known_user_needs_no_lookup(queue: WorkQueue) -> None:
    put(queue)
    put(queue, is_first=False)
    assert not lease_one(queue).needs_lookup


@pytest.fixture
def new_epoch(queue: WorkQueue, redis_url: str) -> int:
    """Begin a Redis epoch; returns the first time (unix ms) that is certainly within it.

    Earlier times may be from before the epoch, as clocks may differ by ten seconds.
    """
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    queue.call_ms = 70_000
    return queue.ensure_redis_epoch() + 10_000


@pytest.mark.parametrize("message", [{"is_first": False}, {"version": 2}, {"occurred_at_ms": 1}])
def test_in_a_new_epoch_older_users_wait_until_all_forgotten_calls_are_over(
    queue: WorkQueue, new_epoch: int, message: dict[str, Any]
) -> None:
    put(queue, user=8, occurred_at_ms=new_epoch)
    put(queue, **{"occurred_at_ms": new_epoch, **message})
    assert [entry.user_id for entry in lease(queue)] == [8]
    due_in_s = queue.next_due_in_s()
    assert due_in_s is not None
    assert 60 < due_in_s <= 70


def test_an_update_that_overtakes_its_create_waits_only_for_it(
    queue: WorkQueue, new_epoch: int
) -> None:
    put(queue, 2, name="New", occurred_at_ms=new_epoch)
    assert lease(queue) == []
    put(queue, 1, name="Old", occurred_at_ms=new_epoch)
    entry = lease_one(queue)
    assert (name_of(entry), entry.needs_lookup) == ("New", False)


def test_a_flushed_redis_begins_a_new_epoch(queue: WorkQueue, redis_url: str) -> None:
    queue.call_ms = 70_000
    put(queue)
    finish(queue, lease_one(queue), agreed=orjson.dumps({"lead_id": 5}))
    before = queue.ensure_redis_epoch()
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    eventually(lambda: queue.ensure_redis_epoch() > before, 60, "a new epoch has begun")
    put(queue, 2)
    assert lease(queue) == []


def test_nothing_newer_is_written_while_an_unanswered_update_may_still_run(
    queue: WorkQueue,
) -> None:
    put(queue)
    finish(queue, lease_one(queue), agreed=orjson.dumps({"lead_id": 5}))
    put(queue, 2)
    leased = queue.lease(50)
    # As if it had been sent so long ago that it may run for three more seconds.
    longest_call_ms = int((settings().request_limit_s + CALL_MARGIN_S) * 1000)
    sent_at_ms = leased.now_ms + 3000 - longest_call_ms
    error = OutcomeUnknown("reset", may_still_run=True)
    settlement = settle_failure(leased.entries[0], error, sent_at_ms, is_write=True)
    queue.release([replace(settlement, delay_ms=1)])
    put(queue, 3)
    eventually(lambda: queue.next_due_in_s() == 0, 60, "its retry is due")
    assert lease(queue) == []
    eventually(lambda: queue.next_due_in_s() == 0, 60, "the update is over")
    entry = lease_one(queue)
    assert (entry.needs_lookup, entry.known_lead_id) == (True, 5), "the lead is read first"


def test_a_read_made_while_an_unanswered_update_may_run_is_not_trusted_later(
    queue: WorkQueue,
) -> None:
    """State A is read, the lost update to B is applied, the user reverts B: found by the model."""
    put(queue)
    finish(queue, lease_one(queue), agreed=orjson.dumps({"lead_id": 5}))
    put(queue, 2, name="Bob")
    leased = queue.lease(50)
    error = OutcomeUnknown("reset", may_still_run=True)
    long_ago_ms = leased.now_ms - int((settings().request_limit_s + CALL_MARGIN_S) * 1000)
    lost = settle_failure(leased.entries[0], error, long_ago_ms, is_write=True)
    queue.release([replace(lost, delay_ms=1)])
    eventually(lambda: queue.next_due_in_s() == 0, 60, "its retry is due")
    entry = lease_one(queue)
    queue.release([replace(settle_lookup(entry, found_lead(5), now_ms=0), delay_ms=1)])
    put(queue, 3)
    eventually(lambda: queue.next_due_in_s() == 0, 60, "the user is due again")
    assert plan(lease_one(queue)) == Lookup()


def test_the_newest_message_that_touched_the_stage_decides_it(
    queue: WorkQueue,
) -> None:
    put(queue, 1, touches_stage=True)
    put(queue, 3, touches_stage=False, name="Third")
    put(queue, 2, touches_stage=True)
    entry = lease_one(queue)
    assert (entry.desired_seq, entry.desired_stage_seq) == (3_000_000, 2_000_000)


def test_a_message_without_the_list_of_changes_touches_the_stage_only_by_changing_it(
    queue: WorkQueue,
) -> None:
    put(queue, 1, touches_stage=True, stage="NEW")
    put(queue, 2, touches_stage=None, stage="NEW")
    put(queue, 3, touches_stage=None, stage="JUNK")
    put(queue, 4, touches_stage=None, stage="JUNK")
    assert lease_one(queue).desired_stage_seq == 3_000_000


def test_a_lead_id_in_a_message_is_only_a_claim(queue: WorkQueue) -> None:
    put(queue, lead_id=456)
    assert lease_one(queue).claimed_lead_id == 456


def test_two_portals_share_nothing(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        put(WorkQueue(client, "one"))
        assert lease(WorkQueue(client, "two")) == []


def test_an_unreachable_redis_raises_queue_down() -> None:
    with redis.Redis.from_url("redis://127.0.0.1:1/0") as client:
        queue = WorkQueue(client, "test")
        for call in (queue.next_due_in_s, lambda: queue.lease(1), lambda: put(queue)):
            with pytest.raises(QueueDown):
                call()
