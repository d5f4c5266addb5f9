"""Wait for conditions, never for fixed times."""

import time
from collections.abc import Callable

POLL_EVERY_S = 0.05


class NotInTime(AssertionError):
    """The condition did not come true in time; the text says which."""


def eventually(
    condition: Callable[[], object],
    within_s: float,
    promise: str,
    poll_every_s: float = POLL_EVERY_S,
) -> None:
    """Wait until the condition holds.

    Raises:
        NotInTime: it does not hold within `within_s` seconds.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {within_s} s: {promise}")
        time.sleep(poll_every_s)
