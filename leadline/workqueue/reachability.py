"""Whether Bitrix24 can be reached, recorded with each request.

For monitoring only: it shows a portal that does not answer, or a webhook that is not a URL. Calls
continue, unlike with an open circuit, and their attempts decide the outcome of each event.
"""

import redis
import structlog

from leadline.errors import BadConfiguration, BitrixError, OutcomeUnknown, Unavailable
from leadline.workqueue.outage import Outage, OutageRecord

log = structlog.get_logger()

#: The kinds of outage, safe to show to anyone.
CONFIGURATION = "not configured properly"
NO_CONNECTION = "no connection"
NO_ANSWER = "no answer"
SERVER_ERRORS = "server errors"
KINDS = (CONFIGURATION, NO_CONNECTION, NO_ANSWER, SERVER_ERRORS)
#: Single answers get lost: the portal counts as unreachable only after this long without any.
GRACE_S = 5.0


class Reachability:
    """The portal's reachability as of the last request of any worker."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._record = OutageRecord(client, f"{prefix}unreachable")

    def outage(self) -> Outage | None:
        """Since when and why no request gets an answer; None while the portal can be reached.

        Raises:
            QueueDown: Redis can't be reached.
        """
        outage = self._record.current()
        return outage if outage and outage.lasts_s >= GRACE_S else None

    def record_failure(self, error: BitrixError | BadConfiguration) -> None:
        """Record that a request could not be sent, or got no answer from Bitrix24 itself."""
        kind = _kind(error)
        if self._record.record(kind, error.detail):
            # Without its text, which may come from the portal and quote a person.
            log.warning("no answer from Bitrix24", kind=kind, error=type(error).__name__)

    def record_answer(self) -> None:
        """Record that a request was answered, with a result or an error."""
        lasted_s = self._record.clear()
        if lasted_s is not None and lasted_s >= GRACE_S:
            log.info("Bitrix24 answers again", unreachable_for_s=round(lasted_s))

    def claim_probe(self) -> bool:
        """Claim the probe that is due; True for one worker only."""
        return self._record.claim_probe()


def _kind(error: BitrixError | BadConfiguration) -> str:
    if isinstance(error, BadConfiguration):
        return CONFIGURATION
    if isinstance(error, Unavailable):
        return NO_CONNECTION
    may_still_run = isinstance(error, OutcomeUnknown) and error.may_still_run
    return NO_ANSWER if may_still_run else SERVER_ERRORS
