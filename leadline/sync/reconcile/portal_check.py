"""An installation looks once whether the portal has leads of its origin that it does not know.

They show that this is an empty or an old database where another one has been: calls are held, or
new users would take over the leads of others. An operator decides: `leadline restored`.
"""

import structlog

from leadline.runtime import secrets
from leadline.runtime.interval import Interval
from leadline.runtime.postgres import installation
from leadline.sync.reconcile.originator import originator_id

log = structlog.get_logger()

#: How often a process looks, until the portal could be read and has no such leads.
LOOK_EVERY_S = 15.0

_looks = Interval(LOOK_EVERY_S)


def run() -> None:
    """Compare a page of our leads with our users, if that was never done; hold calls if need be.

    A portal that can't be read now is looked at later.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if secrets.get("bitrix-webhook-url") is None or not _looks.claim():
        return
    if installation.stored().is_portal_checked:
        return
    # Once for an installation: HTTP and Redis take longer to import than all else of a tick.
    from leadline.sync.reconcile import our_leads  # noqa: PLC0415

    originator = originator_id()
    is_known = our_leads.check_known(originator)
    if is_known:
        installation.mark_portal_checked()
        log.info("the portal has no leads of ours without a user", originator_id=originator)
