"""The steps of a write are shown in order of time, however late they were recorded."""

from datetime import UTC, datetime, timedelta
from typing import Any

from leadline.messages.attempt_log import AttemptLog
from leadline.operations.timeline import steps

ACCEPTED_AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def event(published_ms: int | None) -> dict[str, Any]:
    return {
        "occurred_at": ACCEPTED_AT,
        "published_at": None if published_ms is None else after(published_ms),
        "sendings": int(published_ms is not None),
        "settled_at": None,
    }


def after(ms: int) -> datetime:
    return ACCEPTED_AT + timedelta(milliseconds=ms)


def steps_of(published_ms: int | None, received_ms: int | None) -> dict[str, int]:
    """Each step and its milliseconds after acceptance."""
    attempts = AttemptLog(
        received_ms=None if received_ms is None else int(after(received_ms).timestamp() * 1000)
    )
    return {
        step["step"]: round((step["at"] - ACCEPTED_AT) / timedelta(milliseconds=1))
        for step in steps(event(published_ms), attempts)
    }


def test_a_confirm_recorded_late_is_shown_no_later_than_the_message() -> None:
    assert steps_of(published_ms=207, received_ms=9) == {
        "accepted": 0,
        "published": 9,
        "received": 9,
    }
    assert steps_of(published_ms=5, received_ms=9) == {"accepted": 0, "published": 5, "received": 9}


def test_a_received_event_was_published_even_if_its_confirm_is_missing() -> None:
    assert steps_of(published_ms=None, received_ms=9) == {
        "accepted": 0,
        "published": 9,
        "received": 9,
    }
    assert steps_of(published_ms=None, received_ms=None) == {"accepted": 0}
