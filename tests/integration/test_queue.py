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
def work(redis_url: str) -> Any:
    with redis.Redis.from_url(redis_url) as client:
        queue = WorkQueue(client, "test")
        queue.begin_first_epoch()
        # Its epoch is older than any call can last.
        queue.call_ms = 0
        yield queue


@pytest.fixture
def short_lease(work: WorkQueue) -> Callable[[WorkQueue], None]:
    """Leases expire at once; returns a function that waits until one has."""
    work.lease_ms = 30

    def wait(work: WorkQueue) -> None:
        eventually(lambda: work.next_due_in_s() == 0, 60, "the lease has expired")

    return wait


def put(
    work: WorkQueue,
    version: int | None = 1,
    *,
    user: int = 7,
    name: str = "Ann",
    stage: str | None = "NEW",
    touches: bool | None = True,
    first: bool = True,
    occurred_at_ms: int | None = None,
    lead: int | None = None,
    event_id: str | None = None,
) -> PutResult:
    state = {"full_name": name, "phone": "+77001112233", "stage": stage}
    event = replace(pending(event_id=event_id or f"{user}-{version}"), version=version)
    return work.put(
        EnqueueRequest(
            user_id=user,
            event=event,
            state=orjson.dumps(state),
            touches_stage=touches,
            is_first=first,
            occurred_at_ms=occurred_at_ms or int(time.time() * 1000),
            lead_id=lead,
        )
    )


def lease(work: WorkQueue, limit: int = 50) -> list[Entry]:
    return work.lease(limit).entries


def lease_one(work: WorkQueue) -> Entry:
    (entry,) = lease(work)
    return entry


def finish(work: WorkQueue, entry: Entry, **fields: Any) -> bool:
    """Answer every event and release the lease."""
    events = tuple(replace(event, outcome=Outcome("synced", 1, 5)) for event in entry.events)
    stored = work.release([Settlement(entry, fields, events)])
    return stored == [True]


def _let_a_millisecond_pass(work: WorkQueue) -> None:
    before = work.lease(0).now_ms
    eventually(lambda: work.lease(0).now_ms > before, 60, "Redis' clock advances")


def name_of(entry: Entry) -> str:
    assert entry.state is not None
    return entry.state.full_name


def test_an_event_is_due_at_once_with_the_state_it_carried(work: WorkQueue) -> None:
    put(work)
    assert work.next_due_in_s() == 0
    entry = lease_one(work)
    assert (entry.user_id, name_of(entry), entry.claimed_lead_id) == (7, "Ann", None)
    assert [event.event_id for event in entry.events] == ["7-1"]
    assert not entry.needs_lookup


def test_a_user_waits_once_however_many_events_it_has(work: WorkQueue) -> None:
    for version in range(1, 11):
        put(work, version, name=f"Ann {version}")
    assert work.depth().due == 1
    entry = lease_one(work)
    assert name_of(entry) == "Ann 10"
    assert [event.version for event in entry.events] == list(range(10, 0, -1))


def test_a_late_older_message_does_not_replace_the_state(work: WorkQueue) -> None:
    put(work, 2, name="New")
    put(work, 1, name="Old")
    assert name_of(lease_one(work)) == "New"


def test_messages_without_a_version_count_in_order_of_arrival(work: WorkQueue) -> None:
    put(work, 3, name="Third")
    put(work, None, name="Fourth", event_id="a")
    put(work, None, name="Fifth", event_id="b")
    put(work, None, name="Fifth", event_id="b")
    entry = lease_one(work)
    assert name_of(entry) == "Fifth"
    assert [event.event_id for event in entry.events] == ["b", "a", "7-3"]
    finish(work, entry)
    put(work, 4, name="Version 4")
    assert name_of(lease_one(work)) == "Version 4"


def test_a_duplicate_does_not_reset_the_attempts(work: WorkQueue) -> None:
    put(work)
    entry = lease_one(work)
    tried = tuple(event.after_attempt() for event in entry.events)
    assert work.release([Settlement(entry, {}, tried)]) == [True]
    put(work)
    assert [event.attempts for event in lease_one(work).events] == [1]


def test_a_leased_user_is_leased_to_no_other_worker(work: WorkQueue) -> None:
    put(work)
    entry = lease_one(work)
    put(work, 2, name="While leased")
    assert lease(work) == []
    assert finish(work, entry)
    repeat = lease_one(work)
    assert name_of(repeat) == "While leased"
    assert [event.version for event in repeat.events] == [2]


def test_a_settled_and_released_user_is_deleted(work: WorkQueue) -> None:
    put(work)
    assert finish(work, lease_one(work))
    assert work.next_due_in_s() is None
    assert lease(work) == []


def test_a_newer_event_does_not_shorten_a_delay(work: WorkQueue) -> None:
    put(work)
    work.release([Settlement(lease_one(work), delay_ms=2000)])
    before = work.next_due_in_s()
    put(work, 2)
    after = work.next_due_in_s()
    assert before is not None
    assert after is not None
    assert 1.5 < after <= before <= 2
    assert lease(work) == []


def test_the_longest_waiting_users_are_leased_first_and_no_more_than_requested(
    work: WorkQueue,
) -> None:
    for user in range(1, 8):
        put(work, user=user)
        _let_a_millisecond_pass(work)
    leased = work.lease(3)
    assert [entry.user_id for entry in leased.entries] == [1, 2, 3]
    assert work.depth().due == 4
    assert [entry.user_id for entry in lease(work)] == [4, 5, 6, 7]


def test_an_expired_lease_is_leased_again(
    work: WorkQueue, short_lease: Callable[[WorkQueue], None]
) -> None:
    put(work)
    lease_one(work)
    short_lease(work)
    leased = work.lease(50)
    assert leased.expired == 1
    assert [event.event_id for event in leased.entries[0].events] == ["7-1"]


def test_a_worker_that_lost_its_lease_can_write_nothing(
    work: WorkQueue, short_lease: Callable[[WorkQueue], None]
) -> None:
    put(work)
    stale = lease_one(work)
    short_lease(work)
    successor = lease_one(work)
    assert not finish(work, stale)
    assert work.save([Settlement(stale, {"hint": 666})]) == [False]
    assert finish(work, successor)
    put(work, 2)
    assert lease_one(work).claimed_lead_id is None


def test_a_lease_cannot_be_released_twice(work: WorkQueue) -> None:
    put(work)
    entry = lease_one(work)
    assert finish(work, entry)
    assert not finish(work, entry)


def test_a_lease_does_not_outlive_a_later_one_even_if_redis_clock_was_set_back(
    work: WorkQueue, redis_url: str, short_lease: Callable[[WorkQueue], None]
) -> None:
    put(work)
    # As if the lease was made while Redis' clock was an hour ahead.
    ahead = str(int(time.time() + 3600) * 1_000_000)
    with redis.Redis.from_url(redis_url) as client:
        client.hset(f"{work.prefix}user:7", "fence", ahead)
    stale = replace(lease_one(work), fence=ahead)
    short_lease(work)
    successor = lease_one(work)
    assert not finish(work, stale)
    assert int(successor.fence) > int(ahead), (
        "otherwise the ledger would take the later lease for the older"
    )
    assert finish(work, successor)


def test_the_time_to_send_counts_from_before_the_lease_command(
    work: WorkQueue, redis_url: str
) -> None:
    """Redis' answer takes time: the lease may have begun as soon as the command was sent."""
    put(work)
    with redis.Redis.from_url(redis_url) as client:
        client.client_pause(2000)
    asked_at = clock.now_s()
    leased = work.lease(50)
    waited_s = clock.now_s() - asked_at
    assert waited_s > 0.5
    assert leased.send_until < asked_at + SEND_WITHIN_S + waited_s / 2


def test_an_idle_user_is_kept_once_an_event_waits(
    work: WorkQueue, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user, idle_ttl_s in ((7, 3600), (8, 1)):
        monkeypatch.setattr("leadline.workqueue.queue.IDLE_TTL_S", idle_ttl_s)
        put(work, user=user)
        finish(work, lease_one(work), agreed=orjson.dumps({"lead_id": user}))
    with redis.Redis.from_url(redis_url) as client:
        assert client.ttl(f"{work.prefix}user:7") > 0
        put(work, 2, user=7)
        assert client.ttl(f"{work.prefix}user:7") == -1, "it never expires"
        eventually(lambda: not client.exists(f"{work.prefix}user:8"), 60, "idle users are deleted")
    entry = lease_one(work)
    assert [event.event_id for event in entry.events] == ["7-2"]
    assert entry.known_lead_id == 7


@pytest.mark.parametrize("is_known", [False, True])
def test_an_interrupted_call_is_followed_by_a_lookup(
    work: WorkQueue, short_lease: Callable[[WorkQueue], None], *, is_known: bool
) -> None:
    """The lead may have changed: last applied is only a claim, and the change may be reverted."""
    put(work)
    entry = lease_one(work)
    if is_known:
        finish(work, entry, agreed=orjson.dumps({"lead_id": 5}))
        put(work, 2)
        entry = lease_one(work)
    assert not entry.needs_lookup
    short_lease(work)
    cut_off = lease_one(work)
    assert (cut_off.needs_lookup, cut_off.known_lead_id) == (True, 5 if is_known else None)
    assert plan(cut_off) == Lookup()


def test_a_failed_create_alone_needs_no_lookup(work: WorkQueue) -> None:
    put(work)
    work.release([Settlement(lease_one(work))])
    assert not lease_one(work).needs_lookup


@pytest.mark.parametrize(
    "message", [{"first": False}, {"version": 2}, {"version": None}, {"occurred_at_ms": 1}]
)
def test_a_user_whose_lead_redis_may_have_lost_is_looked_up(work: WorkQueue, message: Any) -> None:
    put(work, **message)
    entry = lease_one(work)
    assert entry.needs_lookup
    work.release([settle_lookup(entry, None, work.lease(0).now_ms)])
    assert not lease_one(work).needs_lookup, "once is enough"


def test_a_redelivery_of_a_known_user_needs_no_lookup(work: WorkQueue) -> None:
    put(work)
    put(work, first=False)
    assert not lease_one(work).needs_lookup


@pytest.fixture
def new_epoch(work: WorkQueue, redis_url: str) -> int:
    """Begin a Redis epoch now; returns a time (unix ms) at which a user is certainly newer."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    work.call_ms = 70_000
    return work.ensure_redis_epoch() + 10_000


@pytest.mark.parametrize("message", [{"first": False}, {"version": 2}, {"occurred_at_ms": 1}])
def test_in_a_new_epoch_older_users_wait_until_all_forgotten_calls_are_over(
    work: WorkQueue, new_epoch: int, message: dict[str, Any]
) -> None:
    put(work, user=8, occurred_at_ms=new_epoch)
    put(work, **{"occurred_at_ms": new_epoch, **message})
    assert [entry.user_id for entry in lease(work)] == [8]
    due_in_s = work.next_due_in_s()
    assert due_in_s is not None
    assert 60 < due_in_s <= 70


def test_an_update_that_overtakes_its_create_waits_only_for_it(
    work: WorkQueue, new_epoch: int
) -> None:
    put(work, 2, name="New", occurred_at_ms=new_epoch)
    assert lease(work) == []
    put(work, 1, name="Old", occurred_at_ms=new_epoch)
    entry = lease_one(work)
    assert (name_of(entry), entry.needs_lookup) == ("New", False)


def test_a_flushed_redis_begins_a_new_epoch(work: WorkQueue, redis_url: str) -> None:
    work.call_ms = 70_000
    put(work)
    finish(work, lease_one(work), agreed=orjson.dumps({"lead_id": 5}))
    before = work.ensure_redis_epoch()
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    eventually(lambda: work.ensure_redis_epoch() > before, 60, "a new epoch has begun")
    put(work, 2)
    assert lease(work) == []


def test_nothing_newer_is_written_while_an_unanswered_update_may_still_run(
    work: WorkQueue,
) -> None:
    put(work)
    finish(work, lease_one(work), agreed=orjson.dumps({"lead_id": 5}))
    put(work, 2)
    leased = work.lease(50)
    over_in_ms = 3000 - int((settings().request_limit_s + CALL_MARGIN_S) * 1000)
    error = OutcomeUnknown("reset", may_still_run=True)
    settlement = settle_failure(leased.entries[0], error, leased.now_ms + over_in_ms, is_write=True)
    work.release([replace(settlement, delay_ms=1)])
    put(work, 3)
    eventually(lambda: work.next_due_in_s() == 0, 60, "its retry is due")
    assert lease(work) == []
    eventually(lambda: work.next_due_in_s() == 0, 60, "the update is over")
    entry = lease_one(work)
    assert (entry.needs_lookup, entry.known_lead_id) == (True, 5), "the lead is read first"


def test_a_read_made_while_an_unanswered_update_may_run_is_not_trusted_later(
    work: WorkQueue,
) -> None:
    """A is read, then the lost B is applied, then the user reverts B: found by the model."""
    put(work)
    finish(work, lease_one(work), agreed=orjson.dumps({"lead_id": 5}))
    put(work, 2, name="Bob")
    leased = work.lease(50)
    error = OutcomeUnknown("reset", may_still_run=True)
    long_ago_ms = leased.now_ms - int((settings().request_limit_s + CALL_MARGIN_S) * 1000)
    lost = settle_failure(leased.entries[0], error, long_ago_ms, is_write=True)
    work.release([replace(lost, delay_ms=1)])
    eventually(lambda: work.next_due_in_s() == 0, 60, "its retry is due")
    entry = lease_one(work)
    work.release([replace(settle_lookup(entry, found_lead(5), 0), delay_ms=1)])
    put(work, 3)
    eventually(lambda: work.next_due_in_s() == 0, 60, "it continues")
    assert plan(lease_one(work)) == Lookup()


def test_the_newest_message_that_touched_the_stage_decides_it(
    work: WorkQueue,
) -> None:
    put(work, 1, touches=True)
    put(work, 3, touches=False, name="Third")
    put(work, 2, touches=True)
    entry = lease_one(work)
    assert (entry.desired_seq, entry.desired_stage_seq) == (3_000_000, 2_000_000)


def test_a_message_without_the_list_of_changes_touches_the_stage_only_by_changing_it(
    work: WorkQueue,
) -> None:
    put(work, 1, touches=True, stage="NEW")
    put(work, 2, touches=None, stage="NEW")
    put(work, 3, touches=None, stage="JUNK")
    put(work, 4, touches=None, stage="JUNK")
    assert lease_one(work).desired_stage_seq == 3_000_000


def test_a_lead_id_in_a_message_is_only_a_claim(work: WorkQueue) -> None:
    put(work, lead=456)
    assert lease_one(work).claimed_lead_id == 456


def test_two_portals_share_nothing(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        put(WorkQueue(client, "one"))
        assert lease(WorkQueue(client, "two")) == []


def test_an_unreachable_redis_raises_queue_down() -> None:
    with redis.Redis.from_url("redis://127.0.0.1:1/0") as client:
        lost = WorkQueue(client, "test")
        for call in (lost.next_due_in_s, lambda: lost.lease(1), lambda: put(lost)):
            with pytest.raises(QueueDown):
                call()
