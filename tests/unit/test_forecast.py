"""The forecast is a range at measured rates, and none where nothing can be said."""

from leadline.ledger.throughput import Throughput
from leadline.operations.forecast import forecast


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


def test_without_calls_or_with_more_writes_than_calls_nothing_is_promised() -> None:
    stalled = forecast(5, Throughput((0.0, 0.0, 0.0), 3.0))
    growing = forecast(5, Throughput((10.0, 10.0, 10.0), 11.0))
    empty = forecast(0, Throughput((0.0, 0.0, 0.0), 0.0))
    assert [forecast_.outlook for forecast_ in (stalled, growing, empty)] == [
        "stalled",
        "growing",
        "empty",
    ]
    assert {forecast_.low_s for forecast_ in (stalled, growing, empty)} == {None}
