"""The portal's own stages, read now and then so that clients are held to what really exists."""

import structlog

from leadline.runtime import secrets
from leadline.runtime.interval import Interval
from leadline.users import stages

log = structlog.get_logger()

#: How often a process looks whether the list is stale, and tries again after a failure.
LOOK_EVERY_S = 300.0

_looks = Interval(LOOK_EVERY_S)


def refresh() -> None:
    """Read the list if it is older than an hour; a portal that can't be read changes nothing.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if not _looks.begin() or secrets.read("bitrix-webhook-url") is None or stages.are_fresh():
        return
    # Once an hour of all the ticks: HTTP and Redis take longer to import than all else of a tick.
    from leadline.sync import portal_stages  # noqa: PLC0415

    found = portal_stages.read()
    if found is not None:
        stages.replace(found)
        log.info("stages read", stages=len(found))
