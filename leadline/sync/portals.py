"""What all calls to this portal share: its connection, limits and state."""

from functools import cache

from leadline.bitrix24.budget import Budget
from leadline.bitrix24.limits import TokenBucket
from leadline.bitrix24.portal import Portal, portal
from leadline.runtime.redis import client
from leadline.runtime.settings import settings
from leadline.sync.pause import Pause
from leadline.sync.queue import work_queue


@cache
def session() -> Portal:
    """This process's portal, with its kept connection."""
    return portal()


@cache
def token_bucket() -> TokenBucket:
    """The portal's request rate."""
    return TokenBucket(
        client(),
        f"{work_queue().prefix}tokens",
        rate_per_s=settings().rate_per_s,
        burst=settings().burst,
    )


@cache
def budget() -> Budget:
    """The portal's execution time."""
    return Budget(client(), work_queue().prefix, limit_s=settings().operating_limit_s)


@cache
def paused() -> Pause:
    """The portal's pause."""
    return Pause(client(), work_queue().prefix)
