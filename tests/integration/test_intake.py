"""Messages into the work queue, one or many at once."""

from typing import Any

import pytest
import structlog

from leadline.messages import topology
from leadline.messages.delivery import Delivery
from leadline.runtime import context
from leadline.runtime.errors import BadMessage
from leadline.runtime.log import add_correlation_id
from leadline.sync import driver, intake
from leadline.sync.queue import work_queue

pytestmark = pytest.mark.usefixtures("in_redis")


def delivery(
    user: int, *, name: str = "Ann", call: str = "call", queue: str = topology.REPLIES
) -> Delivery:
    state = {"id": user, "full_name": name, "phone": "+77001112233", "stage": "NEW"}
    data = {"action": "create_card", "user": state, "replyQueue": queue}
    trace = context.made(call, None)
    return Delivery({"pattern": "user_created", "data": data}, f"m-{user}-{name}", {}, trace)


def waiting() -> dict[int, list[tuple[str, str]]]:
    """The events that wait, with their correlation ids, by user."""
    return {
        entry.user_id: [(event.event_id, event.correlation_id) for event in entry.events]
        for entry in work_queue().lease(50).entries
    }


def test_many_events_are_put_in_at_once_and_wake_one_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged = structlog.testing.LogCapture()
    processors: list[Any] = [add_correlation_id, logged]
    bound = structlog.wrap_logger(None, processors)
    monkeypatch.setattr(intake, "log", bound)
    work_queue().remembers_since_ms()
    intake.take([delivery(user, call=f"call-{user}") for user in range(1, 21)])
    assert driver.jobs().count == 1
    told = [line for line in logged.entries if line["event"] == "event received"]
    assert [line["correlation_id"] for line in told] == [f"call-{user}" for user in range(1, 21)]
    assert [line["user_id"] for line in told] == [*range(1, 21)]
    assert waiting() == {user: [(f"m-{user}-Ann", f"call-{user}")] for user in range(1, 21)}


def test_where_one_can_never_be_served_none_is_put_in() -> None:
    with pytest.raises(BadMessage):
        intake.take([delivery(1), delivery(2, queue="elsewhere"), delivery(3)])
    assert waiting() == {}
    assert driver.jobs().count == 0


def test_events_of_one_user_without_versions_keep_their_order() -> None:
    work_queue().remembers_since_ms()
    names = ("Ann", "Bob", "Cid")
    intake.take([delivery(7, name=name, call=name) for name in names])
    (entry,) = work_queue().lease(50).entries
    assert entry.state is not None
    assert entry.state.full_name == "Cid"
    assert [event.correlation_id for event in entry.events] == ["Cid", "Bob", "Ann"]
