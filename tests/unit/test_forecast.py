"""The forecast is a range at measured rates, and none where nothing can be said."""

from datetime import UTC, datetime, timedelta
from typing import Any

from leadline.ledger.throughput import Throughput
from leadline.operations.forecast import blocked_s, forecast


def test_a_backlog_takes_as_long_as_at_the_fastest_and_the_slowest_measured_rate() -> None:
    found = forecast(1200, Throughput((120.0, 100.0, 60.0), 0.0))
    assert found.outlook == "range"
    assert (found.low_s, found.high_s) == (600, 1200)
    assert found.settled_per_min == 100


def test_a_quiet_minute_does_not_make_it_endless() -> None:
    found = forecast(100, Throughput((0.0, 20.0, 10.0), 1.0))
    assert (found.low_s, found.high_s) == (300, 600)


def test_time_in_which_no_call_is_allowed_comes_on_top() -> None:
    found = forecast(100, Throughput((100.0, 100.0, 100.0), 0.0), blocked_s=180)
    assert (found.low_s, found.high_s) == (240, 240)


def test_the_last_method_whose_budget_is_used_up_says_when_calls_go_on() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def used(seconds: int, *, is_used_up: bool) -> dict[str, Any]:
        return {"frees_at": now + timedelta(seconds=seconds), "is_used_up": is_used_up}

    methods = {
        "crm.item.add": used(90, is_used_up=True),
        "crm.item.update": used(60, is_used_up=True),
        "crm.item.list": used(500, is_used_up=False),
    }
    assert blocked_s({"methods": methods}, now) == 90
    assert blocked_s({"error": "Redis can't be reached"}, now) == 0


def test_after_an_import_it_grows_and_takes_a_range_without_new_writes() -> None:
    found = forecast(1000, Throughput((100.0, 100.0, 50.0), 1000.0))
    assert (found.outlook, found.low_s, found.high_s) == ("growing", 600, 1200)


def test_without_calls_or_users_nothing_is_promised() -> None:
    stalled = forecast(5, Throughput((0.0, 0.0, 0.0), 3.0))
    empty = forecast(0, Throughput((0.0, 0.0, 0.0), 0.0))
    assert [forecast_.outlook for forecast_ in (stalled, empty)] == ["stalled", "empty"]
    assert {forecast_.low_s for forecast_ in (stalled, empty)} == {None}
