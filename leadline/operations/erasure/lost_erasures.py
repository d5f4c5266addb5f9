"""Repeats erasures that Postgres has lost in a failover or restore.

A failover to an asynchronous replica, or a restore of an older dump, may lose the newest erasures.
Redis, too, stores the ids of erased users, so the lost ones are known.
"""

import structlog

from leadline.errors import BadConfiguration, QueueError
from leadline.ledger.erasure import receipts, tombstone
from leadline.runtime import secrets
from leadline.runtime.once_per_interval import Interval
from leadline.runtime.postgres import installation
from leadline.runtime.telemetry import trace_context
from leadline.settings import settings
from leadline.users.model import UserId

log = structlog.get_logger()

#: The caller recorded in the ledger, the same as for the sweep; no API key can have this name.
CALLER = "leadline sweep"

#: Interval of a process's comparisons, also after an error of Redis, which costs a time-out.
COMPARE_EVERY_S = 60.0

_comparisons = Interval(COMPARE_EVERY_S)


def repeat() -> int:
    """Erase the users that are erased in Redis but not in Postgres; returns how many.

    Compares once a minute, since the message of a lost erasure may reach Redis late, and at each
    call during a sweep, before it writes the state of Postgres to the next leads.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if secrets.get("redis-url") is None:
        return 0
    stored = installation.ensure_history()
    if not (_comparisons.claim() or stored.is_sweeping):
        return 0
    try:
        lost = _find(settings().originator_id or stored.originator_id)
    except (QueueError, BadConfiguration) as error:
        log.warning("erasures not compared with Redis", error=type(error).__name__)
        return 0
    trace_context.set_caller(CALLER)
    for user_id in lost:
        tombstone.write(UserId(user_id))
    if lost:
        log.error("Postgres had lost erasures, erased again", users=len(lost))
    return len(lost)


def _find(originator: str) -> list[int]:
    """The users that are erased in Redis but not in Postgres."""
    # A relay is ready to serve without Redis' client, see test_cold_start.
    from leadline.workqueue.queue import work_queue  # noqa: PLC0415

    return [
        user_id
        for part in work_queue().erased_users(originator)
        for user_id in receipts.not_erased(part)
    ]
