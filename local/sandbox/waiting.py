"""Waiting on conditions, never for a while."""

import time
from collections.abc import Callable

LOOK_EVERY_S = 0.05


class NotInTime(AssertionError):
    """The condition did not come true; the text is the promise that was not kept."""


def eventually(
    condition: Callable[[], object],
    within_s: float,
    promise: str,
    look_every_s: float = LOOK_EVERY_S,
) -> None:
    """Wait until the condition holds.

    Raises:
        NotInTime: it does not within this time.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {within_s} s: {promise}")
        time.sleep(look_every_s)
