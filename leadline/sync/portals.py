"""What all calls to this portal share: its connection, limits and state."""

from functools import cache, lru_cache

import structlog

from leadline.bitrix24.budget import Budget
from leadline.bitrix24.portal import Portal
from leadline.runtime import secrets
from leadline.runtime.errors import BitrixError, PortalDown, Refused
from leadline.runtime.redis import client
from leadline.runtime.settings import settings
from leadline.sync import metrics
from leadline.sync.queue import work_queue
from leadline.sync.shared import paused, presence, token_bucket

__all__ = ["budget", "paused", "presence", "react", "session", "token_bucket"]

log = structlog.get_logger()

#: One method has used up its execution time; the others go on.
METHOD_LIMIT = "OPERATION_TIME_LIMIT"


def session() -> Portal:
    """This process's portal, with its kept connection; a new one when the webhook was changed."""
    return _session(secrets.require("bitrix-webhook-url"))


@lru_cache(maxsize=1)
def _session(webhook_url: str) -> Portal:
    return Portal(webhook_url)


@cache
def budget() -> Budget:
    """The portal's execution time."""
    return Budget(
        client(),
        work_queue().prefix,
        limit_s=settings().operating_limit_s,
        request_limit_s=settings().request_limit_s,
    )


def react(error: BitrixError) -> None:
    """Do what an error means for everybody, not only for its user."""
    if isinstance(error, PortalDown):
        paused().begin(error)
    if isinstance(error, Refused):
        log.warning("refused", code=error.code)
        is_rate = error.code.upper() != METHOD_LIMIT
        metrics.REFUSALS.inc("rate" if is_rate else "operating")
        if is_rate:
            token_bucket().empty()
