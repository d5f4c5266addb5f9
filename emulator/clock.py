"""The emulator's two times: emulated time, which may run faster, and the real time of day.

Buckets drain, operating budgets recover and simulated work finishes `speed` times as fast. Times of
day on the wire stay real, so that they agree with the client's clock at any speed.
"""

import asyncio
import contextlib
import time
from datetime import datetime, timedelta, timezone

#: The time zone of the portal, in which it writes and reads times of day.
PORTAL_ZONE = timezone(timedelta(hours=3))


class Clock:
    """Emulated time and the real time of day, both from the system's monotonic clock."""

    def __init__(self) -> None:
        self.speed = 1.0
        self._changed = asyncio.Event()
        self._wall_zero = time.time() - time.monotonic()
        self._emulated_zero = 0.0
        self._real_zero = time.monotonic()

    def now(self) -> float:
        """Emulated seconds since the clock was made; never goes back."""
        return self._emulated_zero + (time.monotonic() - self._real_zero) * self.speed

    def wall(self) -> float:
        """The real time of day in unix seconds; unlike the system's clock, never goes back."""
        return self._wall_zero + time.monotonic()

    def wall_at(self, moment: float) -> float:
        """Unix seconds at which `now()` reaches `moment` at the current speed."""
        return self.wall() + (moment - self.now()) / self.speed

    def set_speed(self, speed: float) -> None:
        """Run `speed` times as fast from now on; sleeps that have begun change their speed, too."""
        self._emulated_zero = self.now()
        self._real_zero = time.monotonic()
        self.speed = speed
        self._changed.set()
        self._changed = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` of emulated time."""
        due = self.now() + seconds
        while (remaining_s := due - self.now()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(remaining_s / self.speed):
                    await self._changed.wait()


def iso(unix_s: float) -> str:
    """A time of day as the portal writes it: ISO 8601 with the portal's offset."""
    return datetime.fromtimestamp(unix_s, tz=PORTAL_ZONE).isoformat(timespec="seconds")


def portal_iso(text: str) -> str | None:
    """A client's time of day as the portal writes it; None if the text is not a time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=PORTAL_ZONE)
    try:
        return moment.astimezone(PORTAL_ZONE).isoformat(timespec="seconds")
    except OverflowError:
        return None
