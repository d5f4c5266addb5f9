"""Checks the field map against the portal periodically, and when a call was refused."""

import time
from typing import Any

import structlog

from leadline.bitrix24.command import Command
from leadline.errors import BadConfiguration, BitrixError, QueueError
from leadline.ledger.resync import open_fields
from leadline.mapping import portal_fields
from leadline.mapping.current import field_map
from leadline.runtime.once_per_interval import Interval
from leadline.sync import portal_session
from leadline.sync.fields import last_check, portal_reading
from leadline.sync.fields.last_check import FieldCheck, ResyncProgress

log = structlog.get_logger()

#: Age at which a check is repeated; sooner after misfits, as an operator may be fixing them.
MAX_AGE_S = 3600.0
MAX_AGE_WITH_MISFITS_S = 300.0
#: How often a process looks whether a check is due or requested.
RUN_EVERY_S = 15.0

_runs = Interval(RUN_EVERY_S)


def run() -> None:
    """Check the map if that is due or was requested; resync users whose open fields fit now.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if field_map() is None or not _runs.claim():
        return
    try:
        if last_check.claim_requested() or is_due():
            check()
        if last := last_check.load():
            _resync(last)
    except (BitrixError, BadConfiguration, QueueError) as error:
        log.warning("field map not checked", reason=type(error).__name__)


def _resync(last: FieldCheck) -> None:
    """Resync users whose open fields fit now: once after each check with another result."""
    misfits = sorted({misfit.field for misfit in last.misfits})
    result = ",".join([last.digest, *misfits])
    progress = last_check.resync_progress()
    after = progress.after if progress.result == result else 0
    if after is None:
        return
    last_check.store_resync_progress(
        ResyncProgress(result, open_fields.resync_fitting(after, misfits))
    )


def is_due() -> bool:
    """Whether the last check is too old, or was of another map.

    Raises:
        QueueDown: Redis can't be reached.
    """
    mapping = field_map()
    if mapping is None:
        return False
    last = last_check.load()
    if last is None or last.digest != mapping.digest:
        return True
    max_age_s = MAX_AGE_WITH_MISFITS_S if last.misfits else MAX_AGE_S
    return time.time() - last.checked_at > max_age_s


def check() -> None:
    """Compare the map with the fields of the portal's leads, and store the result.

    Does nothing while calls are paused.

    Raises:
        BitrixError: the portal rejects the call.
        BadConfiguration: the webhook is missing or invalid.
        QueueDown: Redis can't be reached.
    """
    mapping = field_map()
    if mapping is None or portal_session.circuit_breaker().restore_and_read() is not None:
        return
    portal = portal_reading.read(_call, mapping)
    misfits = portal_fields.misfits(mapping, portal)
    titles = {name: portal_field.title for name, portal_field in portal.items()}
    last_check.store(FieldCheck(time.time(), mapping.digest, misfits, titles))
    for misfit in misfits:
        log.warning(
            "field map does not fit", field=misfit.field, lead=misfit.lead, problem=misfit.problem
        )


def _call(commands: dict[str, Command]) -> dict[str, Any]:
    portal_session.wait_for_token()
    try:
        results = portal_session.portal_client().call(commands).results
    except BitrixError as error:
        portal_session.react(error)
        raise
    for result in results.values():
        if isinstance(result, BitrixError):  # no reason to stop all calls
            raise result
    return results
