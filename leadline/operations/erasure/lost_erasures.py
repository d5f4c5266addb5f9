"""Erases again whom Postgres has forgotten to be erased: it was restored to a time before.

Redis remembers the ids of erased users as a witness outside of Postgres; a failover to an
asynchronous replica, or a restore, may lose the newest erasures.
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

#: The caller recorded in the ledger, as of the sweep that follows; no API key can have this name.
CALLER = "leadline sweep"


#: How often a process compares; and after an error of Redis, since each costs a time-out.
COMPARE_EVERY_S = 60.0

_comparisons = Interval(COMPARE_EVERY_S)


def run() -> int:
    """Erase the users that only Redis knows to be erased; returns how many.

    It compares once a minute, since the message of a lost erasure may still be on its way to Redis,
    and during a sweep each time, before the next leads get the state of Postgres.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if secrets.get("redis-url") is None:
        return 0
    present = installation.ensure_history()
    if not (_comparisons.claim() or present.is_sweeping):
        return 0
    try:
        lost = _lost(settings().originator_id or present.originator_id)
    except (QueueError, BadConfiguration) as error:
        log.warning("erasures not compared with Redis", error=type(error).__name__)
        return 0
    trace_context.set_caller(CALLER)
    for user_id in lost:
        tombstone.write(UserId(user_id))
    if lost:
        log.error("Postgres had lost erasures, erased again", users=len(lost))
    return len(lost)


def _lost(originator: str) -> list[int]:
    # A relay is ready to serve without Redis' client, see test_cold_start.
    from leadline.workqueue.queue import work_queue  # noqa: PLC0415

    return [
        user_id
        for part in work_queue().erased_users(originator)
        for user_id in receipts.not_erased(part)
    ]
