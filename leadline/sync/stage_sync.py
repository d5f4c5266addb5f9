"""The portal's own stages, read now and then so that clients are held to what really exists."""

import structlog

from leadline.errors import BadConfiguration, BitrixError
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
    if not _looks.claim() or secrets.get("bitrix-webhook-url") is None:
        return
    if stages.are_fresh() or _replace():
        _looks.reschedule(LOOK_EVERY_S)


def _replace() -> bool:
    """Whether the portal could be asked."""
    found = read_portal_stages()
    if found is None:
        return False
    stages.replace(found)
    log.info("stages read", stages=len(found))
    return True


def read_portal_stages() -> list[str] | None:
    """Their ids in the portal's order; None where it is paused or can't be read now.

    A portal that serves nobody, or keeps no leads, is paused.
    """
    # Once an hour of all the ticks: HTTP and Redis take longer to import than all else of a tick.
    import redis  # noqa: PLC0415

    from leadline.sync import portal_session  # noqa: PLC0415

    try:
        if portal_session.circuit_breaker().state() is not None:
            return None
        portal_session.wait_for_token()
        return _read()
    except (BitrixError, BadConfiguration, redis.RedisError) as error:
        log.warning("stages not read", reason=type(error).__name__)
        return None


def _read() -> list[str]:
    from leadline.bitrix24 import crm_mode, lead_answers, leads  # noqa: PLC0415 - see `read`
    from leadline.sync import portal_session  # noqa: PLC0415 - see `read`

    questions = {"stages": leads.list_stages(), "mode": crm_mode.COMMAND}
    try:
        answers = portal_session.portal_client().call(questions).results
        crm_mode.check(answers["mode"])
    except BitrixError as error:
        portal_session.react(error)
        raise
    # Its own error is that of one command, and no reason to stop calls.
    if isinstance(answers["stages"], BitrixError):
        raise answers["stages"]
    return lead_answers.parse_stage_ids(answers["stages"])
