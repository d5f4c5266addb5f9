"""Versions after a failover or restore of Postgres: a number may name another state."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
import redis

from leadline.bitrix24 import lead_parsing
from leadline.sync.decide import Lookup, NoCall, Write, plan, settle_applied, settle_lookup
from leadline.workqueue.enqueue_request import EnqueueRequest
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.pending_event import Outcome
from leadline.workqueue.entries.settlement import Settlement
from leadline.workqueue.queue import WorkQueue
from tests.servers import eventually
from tests.unit.entries import STATE, found_lead, pending

#: Histories of Postgres: the lost one and the present one.
FIRST, SECOND = 1000, 2000


@pytest.fixture
def queue(redis_url: str) -> Iterator[WorkQueue]:
    with redis.Redis.from_url(redis_url) as client:
        queue = WorkQueue(client, "test")
        queue.begin_first_epoch()
        queue.call_ms = 0
        yield queue


def put(
    queue: WorkQueue,
    version: int,
    history: int | None,
    name: str = "Ann",
    stage: str = "NEW",
    *,
    touches_stage: bool = False,
    originator: str | None = None,
    stage_set: int | None = None,
) -> None:
    event = replace(pending(version), event_id=f"{history}-{version}", history=history)
    queue.put(
        EnqueueRequest(
            user_id=7,
            event=event,
            state=orjson.dumps({"full_name": name, "phone": "+77001112233", "stage": stage}),
            touches_stage=touches_stage,
            is_first=True,
            occurred_at_ms=int(time.time() * 1000),
            lead_id=None,
            originator=originator,
            stage_set=stage_set,
        )
    )


def lease_one(queue: WorkQueue) -> Entry:
    (entry,) = queue.lease(50).entries
    return entry


def apply(queue: WorkQueue, *, stage_by_hand: str | None = None) -> Entry:
    """Record a write after which the lead equals the user's state.

    `stage_by_hand`: the stage that the lead has nevertheless, since a person has set it.
    """
    entry = lease_one(queue)
    assert entry.state is not None
    step = plan(entry)
    assert isinstance(step, Write)
    answer = {"item": {"id": 5, "stageId": stage_by_hand or entry.state.stage}}
    agreed = lead_parsing.parse_written(answer, step.command, entry.state)
    settled = settle_applied(entry, agreed, is_create=step.is_create)
    assert queue.save([settled]) == [True]
    sent = tuple(event for event in settled.events if event.outcome)
    assert queue.release([Settlement(entry, events=sent)]) == [True]
    return entry


def written_fields(entry: Entry) -> Any:
    """The fields that the next write of this entry sends."""
    step = plan(entry)
    assert isinstance(step, Write), step
    return step.command.params["fields"]


def outcomes(entry: Entry) -> dict[str, str]:
    """The outcome of each event, by id, if the entry is settled now."""
    settled = settle_applied(entry, last_applied=None)
    return {event.event_id: event.outcome.status for event in settled.events if event.outcome}


def test_a_version_assigned_twice_means_the_state_of_the_newer_history(
    queue: WorkQueue,
) -> None:
    put(queue, 1, FIRST)
    apply(queue)
    put(queue, 2, FIRST, name="Lost")
    apply(queue)
    put(queue, 2, SECOND, name="Bob")
    assert written_fields(lease_one(queue))["title"] == "Bob"


def test_a_greater_version_of_a_lost_history_is_superseded(queue: WorkQueue) -> None:
    put(queue, 1, FIRST)
    apply(queue)
    put(queue, 2, SECOND, name="Bob")
    apply(queue)
    put(queue, 9, FIRST, name="Lost", stage="JUNK", touches_stage=True)
    entry = lease_one(queue)
    assert plan(entry) == NoCall()
    assert outcomes(entry) == {"1000-9": "superseded"}


def test_pending_events_of_a_lost_history_are_superseded_by_the_first_of_the_newer_one(
    queue: WorkQueue,
) -> None:
    put(queue, 1, FIRST)
    apply(queue)
    put(queue, 8, FIRST, name="Lost")
    put(queue, 2, SECOND, name="Bob")
    assert outcomes(lease_one(queue)) == {"1000-8": "superseded", "2000-2": "synced"}


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_stage_that_a_lost_move_may_have_set_is_set_back(
    queue: WorkQueue, *, is_applied: bool
) -> None:
    put(queue, 1, FIRST)
    apply(queue)
    put(queue, 2, FIRST, stage="JUNK", touches_stage=True)
    if is_applied:
        apply(queue)
    put(queue, 2, SECOND, name="Bob", stage_set=1)
    assert written_fields(lease_one(queue)) == {"title": "Bob", "name": "Bob", "stageId": "NEW"}


def test_a_stage_set_by_hand_stays_even_if_a_version_was_lost(queue: WorkQueue) -> None:
    """Found by the simulation: the lost version had changed the name only."""
    put(queue, 1, FIRST)
    apply(queue)
    put(queue, 2, FIRST, name="Lost")
    apply(queue, stage_by_hand="JUNK")
    put(queue, 2, SECOND, stage_set=1)
    assert written_fields(lease_one(queue)) == {"title": "Ann", "name": "Ann"}


def test_a_stage_that_was_not_moved_stays_as_it_is_in_the_crm(queue: WorkQueue) -> None:
    """A person may have set it."""
    put(queue, 1, FIRST)
    apply(queue)
    put(queue, 2, SECOND, name="Bob")
    assert written_fields(lease_one(queue)) == {"title": "Bob", "name": "Bob"}


def test_a_worker_that_leased_in_the_lost_history_settles_nothing(queue: WorkQueue) -> None:
    put(queue, 1, FIRST)
    apply(queue)
    put(queue, 8, FIRST, name="Lost")
    stale = lease_one(queue)
    put(queue, 2, SECOND, name="Bob")
    assert queue.save([settle_applied(stale, found_lead(5).last_applied(STATE))]) == [False]
    queue.lease_ms = 1
    assert queue.lease(50).entries == [], "the worker's call may still run"


def test_a_user_waits_while_a_call_of_the_lost_history_may_run(
    queue: WorkQueue,
) -> None:
    queue.lease_ms = 30
    put(queue, 1, FIRST)
    lease_one(queue)
    put(queue, 2, SECOND, name="Bob")
    eventually(lambda: queue.next_due_in_s() == 0, 60, "the lease has expired")
    assert lease_one(queue).needs_lookup


def test_a_new_installation_does_not_take_over_leads_of_the_previous_one(
    queue: WorkQueue,
) -> None:
    """Postgres was wiped and Redis was not: the same id now belongs to another person."""
    put(queue, 1, FIRST, originator="leadline-1")
    apply(queue)
    put(queue, 1, SECOND, name="Somebody Else", originator="leadline-2")
    entry = lease_one(queue)
    assert (plan(entry), entry.known_lead_id) == (Lookup(), None)
    queue.release([settle_lookup(entry, lead=None, now_ms=0)])
    created = written_fields(lease_one(queue))
    assert (created["originatorId"], created["title"]) == ("leadline-2", "Somebody Else")


def test_messages_without_a_history_belong_to_the_current_one(queue: WorkQueue) -> None:
    put(queue, 1, SECOND)
    apply(queue)
    put(queue, 2, None, name="Bob")
    assert written_fields(lease_one(queue))["title"] == "Bob"


def test_an_older_version_without_a_history_is_superseded(queue: WorkQueue) -> None:
    for version in (1, 2):
        put(queue, version, FIRST, name=f"Ann {version}")
        apply(queue)
    put(queue, 1, None)
    entry = lease_one(queue)
    assert plan(entry) == NoCall()
    assert outcomes(entry) == {"None-1": "superseded"}


def test_a_reply_can_name_the_history(queue: WorkQueue) -> None:
    put(queue, 1, SECOND)
    (event,) = lease_one(queue).events
    assert event.history == SECOND
    assert replace(event, outcome=Outcome("synced", attempts=1, lead_id=5)).history == SECOND
