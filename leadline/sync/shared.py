"""What all who deal with this portal share in Redis: its request rate, its pause, its workers.

Apart from `portals`, so that whoever only looks needs neither an HTTP client nor the webhook.
"""

from functools import cache

from leadline.bitrix24.limits import TokenBucket
from leadline.runtime.redis import client
from leadline.runtime.settings import settings
from leadline.sync.pause import Pause
from leadline.sync.presence import Presence
from leadline.sync.queue import work_queue


@cache
def token_bucket() -> TokenBucket:
    """The portal's request rate."""
    return TokenBucket(
        client(),
        work_queue().prefix,
        rate_per_s=settings().rate_per_s,
        burst=settings().burst,
    )


@cache
def presence() -> Presence:
    """The portal's workers."""
    return Presence(client(), work_queue().prefix)


@cache
def paused() -> Pause:
    """The portal's pause."""
    return Pause(client(), work_queue().prefix)
