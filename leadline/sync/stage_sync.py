"""Reads the portal's stages periodically, so that clients can set only existing ones."""

import structlog

from leadline.errors import BadConfiguration, BitrixError, QueueError
from leadline.runtime import secrets
from leadline.runtime.once_per_interval import Interval
from leadline.users import stages

log = structlog.get_logger()

#: Interval of a process's checks whether the list is stale, and the one after a failure.
CHECK_EVERY_S = 300.0
RETRY_S = 15.0

_checks = Interval(RETRY_S)


def refresh() -> None:
    """Read the list if it is older than an hour; keeps it if the portal can't be read.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if not _checks.claim() or secrets.get("bitrix-webhook-url") is None:
        return
    if stages.are_fresh() or _replace():
        _checks.reschedule(CHECK_EVERY_S)


def _replace() -> bool:
    """Replace the list; returns whether the portal could be read."""
    stage_ids = read_portal_stages()
    if stage_ids is None:
        return False
    stages.replace(stage_ids)
    log.info("stages read", stages=len(stage_ids))
    return True


def read_portal_stages() -> list[stages.Stage] | None:
    """The stages in the portal's order; None if it is paused or can't be read now.

    Opens the circuit if the portal rejects all calls or keeps no leads.
    """
    # Most ticks don't get here: importing HTTP and Redis takes longer than the rest of a tick.
    from leadline.sync import portal_session  # noqa: PLC0415

    try:
        if portal_session.circuit_breaker().restore_and_read() is not None:
            return None
        portal_session.wait_for_token()
        return _read()
    except (BitrixError, BadConfiguration, QueueError) as error:
        log.warning("stages not read", reason=type(error).__name__)
        return None


def _read() -> list[stages.Stage]:
    from leadline.bitrix24 import crm_mode, lead_parsing, leads  # noqa: PLC0415 - see `read_portal_stages`
    from leadline.sync import portal_session  # noqa: PLC0415 - see `read_portal_stages`

    commands = {"stages": leads.list_stages(), "mode": crm_mode.COMMAND}
    try:
        results = portal_session.portal_client().call(commands).results
        crm_mode.check(results["mode"])
    except BitrixError as error:
        portal_session.react(error)
        raise
    # An error of this one command is no reason to stop all calls.
    if isinstance(results["stages"], BitrixError):
        raise results["stages"]
    return [stages.Stage(*row) for row in lead_parsing.parse_stages(results["stages"])]
