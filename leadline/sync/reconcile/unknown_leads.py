"""Checks once per installation whether the portal has leads of its originator without a user.

If so, this is an empty or old database in place of another one: calls are held, since new users
would get the leads of others. An operator decides, see `leadline restored`.
"""

import structlog

from leadline.runtime import secrets
from leadline.runtime.once_per_interval import Interval
from leadline.runtime.postgres import installation
from leadline.sync.reconcile.originator import originator_id

log = structlog.get_logger()

#: How often a process checks, until the portal could be read and has no such leads.
CHECK_EVERY_S = 15.0

_checks = Interval(CHECK_EVERY_S)


def run() -> None:
    """Compare a page of our leads with our users, once; hold calls if a lead has no user.

    If the portal can't be read now, a later run checks it.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if secrets.get("bitrix-webhook-url") is None or not _checks.claim():
        return
    if installation.stored().is_portal_checked:
        return
    # Once per installation: importing HTTP and Redis takes longer than the rest of a tick.
    from leadline.sync.reconcile import our_leads  # noqa: PLC0415

    originator = originator_id()
    is_held = our_leads.hold_if_unknown(originator)
    if is_held is False:
        installation.mark_portal_checked()
        log.info("the portal has no leads of ours without a user", originator_id=originator)
