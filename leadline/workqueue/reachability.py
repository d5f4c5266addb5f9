"""Whether Bitrix24 can be reached, recorded with each request.

Nothing waits for this: calls go on, and their attempts decide what becomes of each user. It exists
so that everyone who looks sees a portal that does not answer, or a webhook that is no URL.
"""

import redis
import structlog

from leadline.errors import BadConfiguration, BitrixError, OutcomeUnknown, Unavailable
from leadline.workqueue.outage import Outage, OutageRecord

log = structlog.get_logger()

#: The kinds, in words that may be shown to anyone.
CONFIGURATION = "not configured properly"
NO_CONNECTION = "no connection"
NO_ANSWER = "no answer"
SERVER_ERRORS = "server errors"
KINDS = (CONFIGURATION, NO_CONNECTION, NO_ANSWER, SERVER_ERRORS)
#: Answers get lost; only when none came for so long the portal counts as unreachable.
GRACE_S = 5.0


class Reachability:
    """What the last request of any worker says."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._record = OutageRecord(client, f"{prefix}unreachable")

    def state(self) -> Outage | None:
        """Since when no request got an answer, and why; None where the portal can be reached.

        Raises:
            redis.RedisError: Redis can't be reached.
        """
        found = self._record.state()
        return found if found and found.lasts_s >= GRACE_S else None

    def record_failure(self, error: BitrixError | BadConfiguration) -> None:
        """A request could not be made, or got no answer that Bitrix24 itself would give."""
        kind = _kind(error)
        if self._record.record(kind, error.detail):
            # Its text may be the portal's, which may quote a person.
            log.warning("no answer from Bitrix24", kind=kind, error=type(error).__name__)

    def record_answer(self) -> None:
        """A request was answered, whatever the answer was."""
        lasted_s = self._record.clear()
        if lasted_s is not None and lasted_s >= GRACE_S:
            log.info("Bitrix24 answers again", unreachable_for_s=round(lasted_s))

    def claim_probe(self) -> bool:
        """True for the one worker that may make the probe that is due."""
        return self._record.claim_probe()


def _kind(error: BitrixError | BadConfiguration) -> str:
    if isinstance(error, BadConfiguration):
        return CONFIGURATION
    if isinstance(error, Unavailable):
        return NO_CONNECTION
    may_still_run = isinstance(error, OutcomeUnknown) and error.may_still_run
    return NO_ANSWER if may_still_run else SERVER_ERRORS
