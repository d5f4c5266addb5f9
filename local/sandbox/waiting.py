"""Wait for conditions, never for fixed times."""

import time
from collections.abc import Callable

#: The first pause between two checks, and the longest.
SHORTEST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 0.25


class NotInTime(AssertionError):
    """The condition did not come true in time; the text says which."""


def eventually(
    condition: Callable[[], object],
    within_s: float,
    promise: str,
    poll_every_s: float | None = None,
) -> None:
    """Wait until the condition holds.

    `poll_every_s` None: the pauses between checks, which cost what is awaited CPU time, grow to
    `LONGEST_PAUSE_S`, and are a tenth of the wait so far.

    Raises:
        NotInTime: it does not hold within `within_s` seconds.
    """
    began = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began
        if waited_s > within_s:
            raise NotInTime(f"not within {within_s} s: {promise}")
        time.sleep(poll_every_s or min(max(SHORTEST_PAUSE_S, waited_s / 10), LONGEST_PAUSE_S))
