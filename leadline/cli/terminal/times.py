"""Times that operators type, and durations as they are shown."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from leadline.errors import InvalidRequest

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGO = re.compile(r"(\d{1,6})\s*([smhd])")
_WORDS = {"noon": "12:00", "midnight": "00:00", "today": "00:00"}
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d)?")

Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Since a time: 12:00, noon, 2026-01-31, 2026-01-31T12:00, or 90s, 15m, 2h, 7d ago.",
    ),
]


def parse_moment(text: str, now: datetime | None = None) -> datetime:
    """Parse a time: in local time unless it has a zone.

    A clock time without a date is the last one: 23:00, typed at noon, is yesterday's.

    Raises:
        InvalidRequest: the text is not a time.
    """
    present = (now or datetime.now(UTC)).astimezone()
    text = _WORDS.get(text.strip().lower(), text.strip())
    try:
        if ago := _AGO.fullmatch(text):
            return present - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        if _CLOCK.fullmatch(text):
            clock = datetime.strptime(text, "%H:%M:%S" if text.count(":") == 2 else "%H:%M")  # noqa: DTZ007 - only the clock is read
            moment = present.replace(
                hour=clock.hour, minute=clock.minute, second=clock.second, microsecond=0
            )
            return moment if moment <= present else moment - timedelta(days=1)
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise InvalidRequest(
            "--since is a clock time (12:00, noon, today), a date (2026-01-31), both"
            " (2026-01-31T12:00), or how long ago (90s, 15m, 2h, 7d)"
        ) from None


def span(seconds: float) -> str:
    """A duration in one unit: `45 s`, `12 min`, `3.5 h`, `2 d`; never negative."""
    seconds = max(0.0, seconds)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"
