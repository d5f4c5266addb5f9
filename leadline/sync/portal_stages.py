"""The stages as the portal itself lists them, and whether it keeps leads at all."""

import redis
import structlog

from leadline.bitrix24 import crm_mode, lead_answers, leads
from leadline.errors import BadConfiguration, BitrixError
from leadline.sync import portal_session

log = structlog.get_logger()

_QUESTIONS = {"stages": leads.stages(), "mode": crm_mode.COMMAND}


def read() -> list[str] | None:
    """Their ids in the portal's order; None where it is paused or can't be read now.

    A portal that serves nobody, or keeps no leads, is paused.
    """
    try:
        if portal_session.paused().state() is not None:
            return None
        portal_session.wait_for_token()
        return _read()
    except (BitrixError, BadConfiguration, redis.RedisError) as error:
        log.warning("stages not read", reason=type(error).__name__)
        return None


def _read() -> list[str]:
    try:
        answers = portal_session.session().call(_QUESTIONS).answers
        crm_mode.check(answers["mode"])
    except BitrixError as error:
        portal_session.react(error)
        raise
    # Its own error is that of one command, and no reason to stop calls.
    if isinstance(answers["stages"], BitrixError):
        raise answers["stages"]
    return lead_answers.stage_ids(answers["stages"])
