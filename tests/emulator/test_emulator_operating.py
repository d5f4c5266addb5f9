"""The execution-time budget, the `time` object, and requests over the time limit."""

import time
from typing import Any

import pytest

from emulator.limits.operating import Meter, Meters
from tests.emulator.emulator_process import Emulator
from tests.servers import eventually

TIME_KEYS = {
    "start",
    "finish",
    "duration",
    "processing",
    "date_start",
    "date_finish",
    "operating_reset_at",
    "operating",
}
BLOCKED = {
    "error": "OPERATION_TIME_LIMIT",
    "error_description": "Method is blocked due to operation time limit.",
}


def spend(emulator: Emulator, method: str = "crm.lead.add", seconds: float = 1) -> None:
    """One call that costs this many emulated seconds, at a hundred times the speed.

    The ten minutes after which the call no longer counts last six real seconds at this speed.
    """
    emulator.set(command_ms=seconds * 1000, speed=100)
    emulator.result(method, {"id": 1})
    emulator.set(command_ms=0, speed=1)


def status_by_other_webhook(emulator: Emulator, method: str) -> int:
    """The HTTP status of a call by the second webhook of the portal."""
    url = f"{emulator.base}/rest/1/second-webhook-code/{method}"
    return emulator.session.post(url, timeout=60).status_code


def test_baskets_expire_ten_minutes_after_their_first_call() -> None:
    meter = Meter()
    for moment, seconds in ((0, 1.0), (59, 2.0), (61, 4.0)):
        meter.advance(moment)
        meter.bill(seconds)
    assert (meter.operating, meter.reset_at) == (7.0, 600.0)
    meter.advance(599.9)
    assert meter.operating == 7.0
    meter.advance(600)
    assert (meter.operating, meter.reset_at) == (4.0, 661.0)


def test_each_method_of_each_owner_has_its_own_meter() -> None:
    meters = Meters()
    meters.meter("a", "crm.lead.add", 0).bill(5)
    assert meters.meter("a", "crm.lead.get", 0).operating == 0
    assert meters.meter("b", "crm.lead.add", 0).operating == 0
    assert meters.meter("a", "crm.lead.add", 1).operating == 5


def test_every_result_has_a_time_object(emulator: Emulator) -> None:
    before = time.time()
    answers = [emulator.call("crm.lead.add"), emulator.call("batch", {"cmd": {"a": "profile"}})]
    answers.append(answers[1]["result"]["result_time"]["a"])
    after = time.time()
    for timing in (answers[0]["time"], answers[1]["time"], answers[2]):
        assert set(timing) == TIME_KEYS
        assert before - 1 <= timing["start"] <= timing["finish"] <= after + 1
        assert before - 1 <= timing["operating_reset_at"] - 600 <= after + 1


def test_operating_accumulates_per_method_above_the_floor(emulator: Emulator) -> None:
    """Commands of less than 0.1 s are free."""
    spend(emulator, seconds=2)
    spend(emulator, seconds=3)
    spend(emulator, seconds=0.09)
    assert emulator.call("crm.lead.add")["time"]["operating"] == 5
    assert emulator.call("crm.lead.get", {"id": 1})["time"]["operating"] == 0


@pytest.mark.parametrize(
    ("operating_fields", "missing"),
    [
        ("operating", {"operating_reset_at"}),
        ("none", {"operating", "operating_reset_at"}),
    ],
)
def test_the_budget_may_be_absent(
    emulator: Emulator, operating_fields: str, missing: set[str]
) -> None:
    emulator.set(operating_fields=operating_fields)
    assert set(emulator.call("profile")["time"]) == TIME_KEYS - missing


def test_a_method_over_its_budget_is_blocked_alone(emulator: Emulator) -> None:
    """The call that crosses the limit still succeeds."""
    emulator.set(operating_limit_s=2)
    spend(emulator, seconds=3)
    response = emulator.post("crm.lead.add")
    assert (response.status_code, response.json()) == (429, BLOCKED)
    assert "Retry-After" not in response.headers
    assert emulator.get(1)["ID"] == "1"
    assert status_by_other_webhook(emulator, "crm.lead.add") == 200
    assert len(emulator.leads()) == 2


def test_a_method_that_has_used_up_its_budget_exactly_is_not_blocked(emulator: Emulator) -> None:
    """A method is blocked once it exceeds the limit: documentation limits.md."""
    emulator.set(operating_limit_s=3)
    spend(emulator, seconds=3)
    assert emulator.post("crm.lead.add").status_code == 200


def test_the_operating_budget_may_be_shared_by_the_whole_portal(emulator: Emulator) -> None:
    emulator.set(operating_limit_s=2, operating_scope="portal")
    spend(emulator, seconds=3)
    assert status_by_other_webhook(emulator, "crm.lead.add") == 429
    assert status_by_other_webhook(emulator, "profile") == 200


def test_a_blocked_method_is_free_again_when_its_baskets_have_expired(emulator: Emulator) -> None:
    """`operating_reset_at` is that time on the client's clock, even when time runs faster."""
    emulator.set(operating_limit_s=2)
    spend(emulator, seconds=3)
    assert emulator.post("crm.lead.add").status_code == 429
    emulator.set(speed=10_000)
    eventually(lambda: emulator.post("crm.lead.add").status_code != 429, 60, "it is free again")
    assert abs(emulator.call("profile")["time"]["operating_reset_at"] - time.time()) < 60


def batch_time(emulator: Emulator) -> tuple[Any, Any]:
    """The result and the `time` of a batch with an add and a get."""
    answer = emulator.call("batch", {"cmd": {"a": "crm.lead.add", "b": "crm.lead.get?id=1"}})
    return answer["result"], answer["time"]


def test_a_batch_is_billed_to_its_commands(emulator: Emulator) -> None:
    emulator.set(command_ms=2000, speed=1000)
    result, time_of_batch = batch_time(emulator)
    assert time_of_batch["operating"] == 0
    assert {key: timing["operating"] for key, timing in result["result_time"].items()} == {
        "a": 2,
        "b": 2,
    }


def test_a_batch_may_be_billed_to_itself(emulator: Emulator) -> None:
    """The official JavaScript SDK measured this at a real portal."""
    emulator.set(command_ms=2000, speed=1000, batch_billing="batch", operating_limit_s=3)
    _, time_of_batch = batch_time(emulator)
    assert time_of_batch["operating"] == 4
    assert emulator.post("batch", {"cmd": {"a": "profile"}}).status_code == 429
    assert emulator.call("crm.lead.get", {"id": 1})["time"]["operating"] == 2


def test_a_blocked_command_fails_alone_in_its_batch(emulator: Emulator) -> None:
    emulator.set(operating_limit_s=2)
    spend(emulator, seconds=3)
    result, _ = batch_time(emulator)
    assert result["result_error"] == {"a": BLOCKED}
    assert list(result["result"]) == ["b"]


def test_a_request_is_cut_after_sixty_seconds(emulator: Emulator) -> None:
    """Earlier writes stay, the interrupted one is gone, the gateway answers."""
    emulator.set(command_ms=25_000, speed=1000)
    response = emulator.post(
        "batch", {"cmd": {f"c{number}": "crm.lead.add" for number in range(4)}}
    )
    assert (response.status_code, response.headers["Content-Type"]) == (
        504,
        "text/html; charset=utf-8",
    )
    assert len(emulator.leads()) == 2


def test_a_cut_request_may_continue_unseen(emulator: Emulator) -> None:
    """A setting makes the portal not interrupt requests."""
    # The batch is cut after a second, and would continue for half a minute.
    emulator.set(command_ms=40_000, speed=60, cut="finish", operating_limit_s=10_000)
    response = emulator.post(
        "batch", {"cmd": {f"c{number}": "crm.lead.add" for number in range(50)}}
    )
    assert response.status_code == 504
    assert len(emulator.leads()) < 50
    emulator.set(speed=10_000)
    eventually(lambda: len(emulator.leads()) == 50, 60, "the batch has finished")
