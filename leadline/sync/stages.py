"""The portal's own stages, read now and then so that clients are held to what really exists."""

import threading
import time

import redis
import structlog

from leadline.bitrix24 import leads
from leadline.runtime import secrets
from leadline.runtime.errors import BitrixError
from leadline.sync import portals
from leadline.users import stages

log = structlog.get_logger()

#: How often a process looks whether the list is stale, and tries again after a failure.
LOOK_EVERY_S = 300.0

_lock = threading.Lock()
_looked_at = -LOOK_EVERY_S


def refresh() -> None:
    """Read the list if it is older than an hour; a portal that can't be read changes nothing.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if not _is_time() or secrets.read("bitrix-webhook-url") is None or stages.are_fresh():
        return
    try:
        if portals.paused().state() is not None:
            return
        time.sleep(portals.token_bucket().reserve())
        answer = portals.session().call({"stages": leads.stages()}).answers["stages"]
        if isinstance(answer, BitrixError):
            raise answer
        found = leads.stage_ids(answer)
    except (BitrixError, redis.RedisError) as error:
        log.warning("stages not read", reason=type(error).__name__)
        return
    stages.replace(found)
    log.info("stages read", stages=len(found))


def _is_time() -> bool:
    global _looked_at  # noqa: PLW0603 - a clock of this process
    with _lock:
        if time.monotonic() - _looked_at < LOOK_EVERY_S:
            return False
        _looked_at = time.monotonic()
        return True
