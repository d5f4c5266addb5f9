"""The stages as the portal itself lists them."""

import time

import redis
import structlog

from leadline.bitrix24 import leads
from leadline.runtime.errors import BitrixError
from leadline.sync import portals

log = structlog.get_logger()


def read() -> list[str] | None:
    """Their ids in the portal's order; None where it is paused or can't be read now."""
    try:
        if portals.paused().state() is not None:
            return None
        time.sleep(portals.token_bucket().reserve())
        answer = portals.session().call({"stages": leads.stages()}).answers["stages"]
        if isinstance(answer, BitrixError):
            raise answer
        return leads.stage_ids(answer)
    except (BitrixError, redis.RedisError) as error:
        log.warning("stages not read", reason=type(error).__name__)
        return None
