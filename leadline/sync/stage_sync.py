"""The portal's own stages, read now and then so that clients are held to what really exists."""

import structlog

from leadline.runtime import secrets
from leadline.runtime.interval import Interval
from leadline.users import stages

log = structlog.get_logger()

#: How often a process looks whether the list is stale, and after a failure.
LOOK_EVERY_S = 300.0
LOOK_AGAIN_S = 15.0

_looks = Interval(LOOK_AGAIN_S)


def refresh() -> None:
    """Read the list if it is older than an hour; a portal that can't be read changes nothing.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if not _looks.begin() or secrets.read("bitrix-webhook-url") is None:
        return
    if stages.are_fresh() or _read():
        _looks.postpone(LOOK_EVERY_S)


def _read() -> bool:
    """Whether the portal could be asked."""
    # Once an hour of all the ticks: HTTP and Redis take longer to import than all else of a tick.
    from leadline.sync import portal_stages  # noqa: PLC0415

    found = portal_stages.read()
    if found is None:
        return False
    stages.replace(found)
    log.info("stages read", stages=len(found))
    return True
