"""Limits how often a process does something: at most once per interval, on any thread."""

import threading
import time


class Interval:
    """At least `every_s` seconds between two runs in this process; the first one is due at once."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._lock = threading.Lock()
        self._next_at = float("-inf")

    def claim(self) -> bool:
        """Claim the run that is due; False if none is."""
        with self._lock:
            if time.monotonic() < self._next_at:
                return False
            self._next_at = time.monotonic() + self._every_s
            return True

    def reschedule(self, wait_s: float) -> None:
        """Make the next run due in `wait_s` seconds instead of the interval."""
        with self._lock:
            self._next_at = time.monotonic() + wait_s
