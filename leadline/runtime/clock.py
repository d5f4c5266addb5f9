"""The clock for deadlines that other machines rely on, such as that of a lease.

`time.monotonic` stops while a machine is suspended, and a lease does not. Linux's CLOCK_BOOTTIME
continues; macOS lacks it, but its CLOCK_MONOTONIC continues as well.
"""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_s() -> float:
    """Seconds since an arbitrary moment, including suspended time."""
    return time.clock_gettime(_CLOCK)
