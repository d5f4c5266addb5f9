"""The forecast is a range at the measured rates; without measurements there is none."""

from datetime import UTC, datetime, timedelta
from typing import Any

from leadline.ledger.throughput import Throughput
from leadline.operations.forecast import blocked_s, forecast


def test_the_range_spans_the_fastest_and_the_slowest_measured_rate() -> None:
    found = forecast(1200, Throughput(settled=(120.0, 100.0, 60.0), accepted=0.0))
    assert found.outlook == "range"
    assert (found.low_s, found.high_s) == (600, 1200)
    assert found.settled_per_min == 100


def test_a_minute_without_settled_writes_does_not_make_the_range_endless() -> None:
    found = forecast(100, Throughput(settled=(0.0, 20.0, 10.0), accepted=1.0))
    assert (found.low_s, found.high_s) == (300, 600)


def test_blocked_time_is_added_to_both_bounds() -> None:
    found = forecast(100, Throughput(settled=(100.0, 100.0, 100.0), accepted=0.0), blocked_s=180)
    assert (found.low_s, found.high_s) == (240, 240)


def test_calls_resume_when_the_last_used_up_budget_frees() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def budget(seconds: int, *, is_used_up: bool) -> dict[str, Any]:
        return {"frees_at": now + timedelta(seconds=seconds), "is_used_up": is_used_up}

    methods = {
        "crm.item.add": budget(90, is_used_up=True),
        "crm.item.update": budget(60, is_used_up=True),
        "crm.item.list": budget(500, is_used_up=False),
    }
    assert blocked_s({"methods": methods}, now) == 90
    assert blocked_s({"error": "Redis can't be reached"}, now) == 0


def test_after_an_import_the_outlook_is_growing_and_the_range_assumes_no_new_writes() -> None:
    found = forecast(1000, Throughput(settled=(100.0, 100.0, 50.0), accepted=1000.0))
    assert (found.outlook, found.low_s, found.high_s) == ("growing", 600, 1200)


def test_without_settled_writes_or_waiting_users_there_is_no_range() -> None:
    stalled = forecast(5, Throughput(settled=(0.0, 0.0, 0.0), accepted=3.0))
    empty = forecast(0, Throughput(settled=(0.0, 0.0, 0.0), accepted=0.0))
    assert [forecast_.outlook for forecast_ in (stalled, empty)] == ["stalled", "empty"]
    assert {forecast_.low_s for forecast_ in (stalled, empty)} == {None}
