"""Enqueueing messages in the work queue, one or many at once."""

from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from leadline.bitrix24.leads import LastApplied
from leadline.errors import BadMessage
from leadline.messages import topology
from leadline.messages.attributes import ATTEMPT, CHANGED, RESENT, SENT, STAGE_VERSION
from leadline.messages.cloudevents import Delivery
from leadline.runtime.redis import client
from leadline.runtime.telemetry import trace_context
from leadline.runtime.telemetry.log import add_context
from leadline.sync import enqueue
from leadline.sync.decide import Lookup, NoCall, Plan, Write, plan, settle_applied
from leadline.workqueue import rq_jobs
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.queue import work_queue

pytestmark = pytest.mark.usefixtures("in_redis")


def delivery(
    user: int, *, name: str = "Ann", correlation_id: str = "call", queue: str = topology.REPLIES
) -> Delivery:
    state = {"id": user, "full_name": name, "phone": "+77001112233", "stage": "NEW"}
    data = {"action": "create_card", "user": state, "replyQueue": queue}
    trace = trace_context.trace_from_headers(correlation_id, None)
    body = {"pattern": "user_created", "data": data}
    return Delivery(body, message_id=f"m-{user}-{name}", attributes={}, trace=trace)


def lease_waiting_events() -> dict[int, list[tuple[str, str]]]:
    """Lease all waiting users; returns their events with the correlation ids, by user."""
    return {
        entry.user_id: [(event.event_id, event.correlation_id) for event in entry.events]
        for entry in work_queue().lease(limit=50).entries
    }


def test_many_events_are_enqueued_at_once_and_wake_one_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged = structlog.testing.LogCapture()
    processors: list[Any] = [add_context, logged]
    bound = structlog.wrap_logger(None, processors)
    monkeypatch.setattr(enqueue, "log", bound)
    enqueue.enqueue_events([delivery(user, correlation_id=f"call-{user}") for user in range(1, 21)])
    assert rq_jobs.rq_queue().count == 1
    received = [line for line in logged.entries if line["event"] == "event received"]
    assert [line["correlation_id"] for line in received] == [
        f"call-{user}" for user in range(1, 21)
    ]
    assert [line["user_id"] for line in received] == [*range(1, 21)]
    assert lease_waiting_events() == {
        user: [(f"m-{user}-Ann", f"call-{user}")] for user in range(1, 21)
    }


def test_a_batch_with_an_unprocessable_event_enqueues_none() -> None:
    with pytest.raises(BadMessage):
        enqueue.enqueue_events([delivery(1), delivery(2, queue="elsewhere"), delivery(3)])
    assert lease_waiting_events() == {}
    assert rq_jobs.rq_queue().count == 0


def test_events_of_one_user_without_versions_keep_their_order() -> None:
    names = ("Ann", "Bob", "Cid")
    enqueue.enqueue_events([delivery(7, name=name, correlation_id=name) for name in names])
    (entry,) = work_queue().lease(limit=50).entries
    assert entry.state is not None
    assert entry.state.full_name == "Cid"
    assert [event.correlation_id for event in entry.events] == ["Cid", "Bob", "Ann"]


def our_message(version: int, *, name: str = "Ann", stage: str = "NEW", **sent: str) -> Delivery:
    """A message of ours about user 7, with these CloudEvents attributes."""
    user = {"id": 7, "full_name": name, "phone": "+77001112233", "stage": stage}
    action = "create_card" if version == 1 else "update_card"
    fields = {"version": version, "occurred_at": datetime.now(UTC).isoformat()}
    data = {"action": action, "user": user, "replyQueue": topology.REPLIES, **fields}
    return Delivery(data, message_id=f"m-{version}", attributes=sent)


@pytest.fixture
def old_epoch(in_redis: str) -> None:
    """A Redis whose epoch is older than any call can last."""
    assert in_redis
    work_queue().call_ms = 0


def lease_one() -> Entry:
    """Lease the only due user."""
    (entry,) = work_queue().lease(limit=50).entries
    return entry


def lease_and_plan() -> Plan:
    """Lease the only due user; returns the step decided for it."""
    return plan(lease_one())


def mark_applied(version: int) -> None:
    """Make this version, which set all fields, the last applied state of user 7."""
    enqueue.enqueue_events([our_message(version, **{CHANGED: "full_name,phone,stage"})])
    written = settle_applied(
        lease_one(),
        LastApplied(lead_id=5, full_name="Ann", phone="+77001112233", phone_row=9),
        is_create=version == 1,
    )
    assert work_queue().release([written]) == [True]


def test_a_message_sent_before_redis_lost_its_data_is_left_to_its_sender_to_republish() -> None:
    client().flushall()
    since_ms = work_queue().ensure_redis_epoch() + 10_000  # the clock tolerance
    enqueue.enqueue_events([our_message(2, **{SENT: str(since_ms - 1)})])
    assert lease_waiting_events() == {}
    assert rq_jobs.rq_queue().count == 0
    enqueue.enqueue_events([our_message(2, **{SENT: str(since_ms + 1)})])
    assert rq_jobs.rq_queue().count == 1


@pytest.mark.usefixtures("old_epoch")
@pytest.mark.parametrize("redelivery", [{ATTEMPT: "2"}, {RESENT: "true"}])
def test_a_possible_redelivery_is_looked_up_first(redelivery: dict[str, str]) -> None:
    enqueue.enqueue_events([our_message(1, **redelivery)])
    assert isinstance(lease_and_plan(), Lookup)


@pytest.mark.usefixtures("old_epoch")
def test_a_first_delivery_of_a_first_version_needs_no_lookup() -> None:
    enqueue.enqueue_events([our_message(1, **{ATTEMPT: "1"})])
    step = lease_and_plan()
    assert isinstance(step, Write)
    assert step.is_create


@pytest.mark.usefixtures("old_epoch")
def test_a_message_can_request_a_lookup_even_if_nothing_seems_to_differ() -> None:
    mark_applied(1)
    enqueue.enqueue_events([our_message(2, **{CHANGED: "look"})])
    assert isinstance(lease_and_plan(), Lookup)


@pytest.mark.usefixtures("old_epoch")
def test_a_stage_whose_own_message_was_lost_is_written_by_the_next_one() -> None:
    mark_applied(1)
    changed = {CHANGED: "full_name", STAGE_VERSION: "2"}
    enqueue.enqueue_events([our_message(3, name="Bob", stage="JUNK", **changed)])
    step = lease_and_plan()
    assert isinstance(step, Write)
    assert step.command.params["fields"] == {"title": "Bob", "name": "Bob", "stageId": "JUNK"}


@pytest.mark.usefixtures("old_epoch")
@pytest.mark.parametrize("stage_version", [1, 2])
def test_an_older_stage_change_keeps_its_version(stage_version: int) -> None:
    """The CRM already has the stage, and a person may have moved the lead since."""
    mark_applied(stage_version)
    changed = {CHANGED: "full_name", STAGE_VERSION: str(stage_version)}
    enqueue.enqueue_events([our_message(3, **changed)])
    assert isinstance(lease_and_plan(), NoCall)


@pytest.mark.parametrize("stage_version", ["4", "0", "-1", "x", "9" * 30])
@pytest.mark.usefixtures("old_epoch")
def test_an_impossible_stage_version_is_ignored(stage_version: str) -> None:
    mark_applied(1)
    changed = {CHANGED: "full_name", STAGE_VERSION: stage_version}
    enqueue.enqueue_events([our_message(3, stage="JUNK", **changed)])
    assert isinstance(lease_and_plan(), NoCall)
