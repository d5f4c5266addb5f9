"""Whether the portal takes imports, which start no robots: not each plan and webhook does."""

import redis

from leadline.runtime.redis import reachable

#: How long a refusal counts: rights and plans change.
REFUSED_FOR_S = 3600


class QuietImport:
    """The last refusal, shared by all workers through Redis."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._key = f"{prefix}no_import"

    @reachable()
    def is_refused(self) -> bool:
        """Whether the portal has refused an import within the last hour."""
        return self._redis.get(self._key) is not None

    @reachable()
    def refuse(self) -> bool:
        """Record a refusal; returns whether it is the first of its hour."""
        return bool(self._redis.set(self._key, 1, nx=True, ex=REFUSED_FOR_S))
