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

FIRST, SECOND = 1000, 2000


@pytest.fixture
def work(redis_url: str) -> Iterator[WorkQueue]:
    with redis.Redis.from_url(redis_url) as client:
        work = WorkQueue(client, "test")
        work.begin_first_epoch()
        work.call_ms = 0
        yield work


def put(
    work: WorkQueue,
    version: int,
    history: int | None,
    name: str = "Ann",
    stage: str = "NEW",
    *,
    touches: bool = False,
    originator: str | None = None,
    stage_set: int | None = None,
) -> None:
    event = replace(pending(version), event_id=f"{history}-{version}", history=history)
    work.put(
        EnqueueRequest(
            user_id=7,
            event=event,
            state=orjson.dumps({"full_name": name, "phone": "+77001112233", "stage": stage}),
            touches_stage=touches,
            is_first=True,
            occurred_at_ms=int(time.time() * 1000),
            lead_id=None,
            originator=originator,
            stage_set=stage_set,
        )
    )


def lease_one(work: WorkQueue) -> Entry:
    (entry,) = work.lease(50).entries
    return entry


def apply(work: WorkQueue, *, stage_by_hand: str | None = None) -> Entry:
    """Record a write after which the user's lead equals its state."""
    entry = lease_one(work)
    assert entry.state is not None
    step = plan(entry)
    assert isinstance(step, Write)
    item = {"item": {"id": 5, "stageId": stage_by_hand or entry.state.stage}}
    agreed = lead_parsing.parse_written(item, step.command, entry.state)
    settled = settle_applied(entry, agreed, is_create=step.is_create)
    assert work.save([settled]) == [True]
    sent = tuple(event for event in settled.events if event.outcome)
    assert work.release([Settlement(entry, {}, sent)]) == [True]
    return entry


def fields(entry: Entry) -> Any:
    step = plan(entry)
    assert isinstance(step, Write), step
    return step.command.params["fields"]


def outcomes(entry: Entry) -> dict[str, str]:
    settled = settle_applied(entry, None)
    return {event.event_id: event.outcome.status for event in settled.events if event.outcome}


def test_a_version_assigned_twice_means_the_state_of_the_newer_history(
    work: WorkQueue,
) -> None:
    put(work, 1, FIRST)
    apply(work)
    put(work, 2, FIRST, name="Lost")
    apply(work)
    put(work, 2, SECOND, name="Bob")
    assert fields(lease_one(work))["title"] == "Bob"


def test_a_greater_version_of_a_lost_history_is_superseded(work: WorkQueue) -> None:
    put(work, 1, FIRST)
    apply(work)
    put(work, 2, SECOND, name="Bob")
    apply(work)
    put(work, 9, FIRST, name="Lost", stage="JUNK", touches=True)
    entry = lease_one(work)
    assert plan(entry) == NoCall()
    assert outcomes(entry) == {"1000-9": "superseded"}


def test_pending_events_of_a_lost_history_are_superseded_by_the_first_of_the_newer_one(
    work: WorkQueue,
) -> None:
    put(work, 1, FIRST)
    apply(work)
    put(work, 8, FIRST, name="Lost")
    put(work, 2, SECOND, name="Bob")
    assert outcomes(lease_one(work)) == {"1000-8": "superseded", "2000-2": "synced"}


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_stage_that_a_lost_move_may_have_set_is_set_back(
    work: WorkQueue, *, is_applied: bool
) -> None:
    put(work, 1, FIRST)
    apply(work)
    put(work, 2, FIRST, stage="JUNK", touches=True)
    if is_applied:
        apply(work)
    put(work, 2, SECOND, name="Bob", stage_set=1)
    assert fields(lease_one(work)) == {"title": "Bob", "name": "Bob", "stageId": "NEW"}


def test_a_stage_set_by_hand_stays_even_if_a_version_was_lost(work: WorkQueue) -> None:
    """Found by the simulation: the lost version had changed the name only."""
    put(work, 1, FIRST)
    apply(work)
    put(work, 2, FIRST, name="Lost")
    apply(work, stage_by_hand="JUNK")
    put(work, 2, SECOND, stage_set=1)
    assert fields(lease_one(work)) == {"title": "Ann", "name": "Ann"}


def test_a_stage_that_was_not_moved_stays_as_it_is_in_the_crm(work: WorkQueue) -> None:
    """A person may have set it."""
    put(work, 1, FIRST)
    apply(work)
    put(work, 2, SECOND, name="Bob")
    assert fields(lease_one(work)) == {"title": "Bob", "name": "Bob"}


def test_a_worker_that_leased_in_the_lost_history_settles_nothing(work: WorkQueue) -> None:
    put(work, 1, FIRST)
    apply(work)
    put(work, 8, FIRST, name="Lost")
    held = lease_one(work)
    put(work, 2, SECOND, name="Bob")
    assert work.save([settle_applied(held, found_lead(5).last_applied(STATE))]) == [False]
    work.lease_ms = 1
    assert work.lease(50).entries == []  # its call may still run


def test_a_user_waits_while_a_call_of_the_lost_history_may_run(
    work: WorkQueue,
) -> None:
    work.lease_ms = 30
    put(work, 1, FIRST)
    lease_one(work)
    put(work, 2, SECOND, name="Bob")
    eventually(lambda: work.next_due_in_s() == 0, 60, "the lease has expired")
    assert lease_one(work).needs_lookup


def test_a_new_installation_does_not_take_over_leads_of_the_previous_one(
    work: WorkQueue,
) -> None:
    """Postgres was wiped and Redis was not: the same id now belongs to another person."""
    put(work, 1, FIRST, originator="leadline-1")
    apply(work)
    put(work, 1, SECOND, name="Somebody Else", originator="leadline-2")
    entry = lease_one(work)
    assert (plan(entry), entry.known_lead_id) == (Lookup(), None)
    work.release([settle_lookup(entry, None, 0)])
    created = fields(lease_one(work))
    assert (created["originatorId"], created["title"]) == ("leadline-2", "Somebody Else")


def test_messages_without_a_history_belong_to_the_current_one(work: WorkQueue) -> None:
    put(work, 1, SECOND)
    apply(work)
    put(work, 2, None, name="Bob")
    assert fields(lease_one(work))["title"] == "Bob"


def test_an_older_version_without_a_history_is_superseded(work: WorkQueue) -> None:
    for version in (1, 2):
        put(work, version, FIRST, name=f"Ann {version}")
        apply(work)
    put(work, 1, None)
    entry = lease_one(work)
    assert plan(entry) == NoCall()
    assert outcomes(entry) == {"None-1": "superseded"}


def test_a_reply_can_name_the_history(work: WorkQueue) -> None:
    put(work, 1, SECOND)
    (event,) = lease_one(work).events
    assert event.history == SECOND
    assert replace(event, outcome=Outcome("synced", 1, 5)).history == SECOND
