"""The clock for deadlines that other machines count on, such as a lease.

`time.monotonic` stands still while a machine is suspended, and the lease runs out meanwhile. Linux'
CLOCK_BOOTTIME goes on; where there is none (macOS), CLOCK_MONOTONIC itself does.
"""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_s() -> float:
    """Seconds since some moment in the past, suspended time among them."""
    return time.clock_gettime(_CLOCK)
