"""What a process does now and then: at most once in a while, whoever of its threads comes first."""

import threading
import time


class Interval:
    """At least `every_s` seconds lie between two turns in this process; the first is at once."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._lock = threading.Lock()
        self._next_at = float("-inf")

    def begin(self) -> bool:
        """Take the turn that is due; False where the last one is too recent."""
        with self._lock:
            if time.monotonic() < self._next_at:
                return False
            self._next_at = time.monotonic() + self._every_s
            return True

    def postpone(self, wait_s: float) -> None:
        """Let the next turn come in so many seconds; 0 is at once."""
        with self._lock:
            self._next_at = time.monotonic() + wait_s
