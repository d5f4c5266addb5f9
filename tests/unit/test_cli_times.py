"""Parses times as operators type them, and formats durations for them."""

from datetime import UTC, datetime, timedelta

import pytest

from leadline.cli.terminal import times
from leadline.errors import InvalidRequest

NOW = datetime(2026, 11, 28, 15, 30, tzinfo=UTC).astimezone()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-11-01", datetime(2026, 11, 1).astimezone()),
        ("2026-11-01T12:30", datetime(2026, 11, 1, 12, 30).astimezone()),
        ("2026-11-01T12:30Z", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
    ],
)
def test_a_time_can_be_given_as_a_date_or_as_an_age(text: str, moment: datetime) -> None:
    assert times.parse_moment(text, NOW) == moment


def test_a_time_of_day_means_its_last_occurrence() -> None:
    earlier, later = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
    assert times.parse_moment(f"{earlier:%H:%M}", NOW) == earlier
    assert times.parse_moment(f"{later:%H:%M:%S}", NOW) == later - timedelta(days=1)
    assert times.parse_moment(f"{NOW:%H:%M}", NOW) == NOW
    assert times.parse_moment("Noon", NOW) == times.parse_moment("12:00", NOW)
    assert times.parse_moment("today", NOW) == times.parse_moment("00:00", NOW)


@pytest.mark.parametrize(
    "text", ["", "lunch", "25:00", "12:99", "-5m", "9999999d", "999999d", "1.5h"]
)
def test_any_other_text_is_not_a_time(text: str) -> None:
    with pytest.raises(InvalidRequest, match="clock time"):
        times.parse_moment(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0.4, "0 s"), (99, "99 s"), (120, "2 min"), (12_600, "3.5 h"), (172_800, "2 d")],
)
def test_a_duration_is_shown_in_one_unit_and_never_negative(seconds: float, text: str) -> None:
    assert times.span(seconds) == text
