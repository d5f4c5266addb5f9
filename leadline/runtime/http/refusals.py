"""Refused callers (401, 403): counted, logged, and delayed when there are many.

Authorized callers are not affected: a refused request waits for its response without a thread, and
at most a quarter of a replica's concurrent requests (Knative counts them by THREADS) may wait;
further ones get a 429.
"""

import asyncio
from http import HTTPStatus

import structlog

from leadline.errors import TooManyRequests
from leadline.process import per_process
from leadline.runtime.concurrency import greenlets
from leadline.runtime.http import problem
from leadline.runtime.http.rate_limit import RateLimiter
from leadline.runtime.telemetry import metrics

REFUSED = metrics.Counter(
    "leadline_callers_refused_total",
    "Requests refused for a missing or unauthorized key",
    "reason",
    label_values=("no_key", "unknown_key", "expired_key", "missing_scope"),
)
#: The statuses of delayed responses, the delay, and the maximum number that wait at a time.
STATUSES = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
WAIT_S = 1.0
MAX_DELAYED = max(1, greenlets.threads() // 4)

#: Status, headers and body.
Response = tuple[int, list[tuple[str, str]], bytes]

log = structlog.get_logger()
_TOO_MANY = TooManyRequests(1, "Too many requests with a missing or unauthorized key.")


class _Recent:
    """The rate limits of log lines and of undelayed responses, and what they suppressed."""

    def __init__(self) -> None:
        #: For log lines: a flood of guesses must not flood the log.
        self.log_limit = RateLimiter(per_s=1, burst=20)
        #: For refusals that are sent without a delay.
        self.undelayed = RateLimiter(per_s=1, burst=20)
        self.not_logged = 0
        #: Number of responses that are delayed now; used on the loop's thread only.
        self.waiting = 0


@per_process
def _recent() -> _Recent:
    return _Recent()


def record(reason: str, prefix: str = "", caller: str = "") -> None:
    """Count and log a refused request, with the key's prefix, and its name if it is known."""
    REFUSED.inc(reason)
    recent = _recent()
    if not _take_token(recent.log_limit):
        recent.not_logged += 1
        return
    caller_field = {"caller": caller} if caller else {}
    skipped_field = {"not_logged": recent.not_logged} if recent.not_logged else {}
    recent.not_logged = 0
    log.warning("caller refused", reason=reason, prefix=prefix, **caller_field, **skipped_field)


async def delay(response: Response) -> Response:
    """Return this refusal, after a delay if there were many; a 429 if too many are waiting."""
    recent = _recent()
    if _take_token(recent.undelayed):
        return response
    if recent.waiting >= MAX_DELAYED:
        body, status, headers = problem.response_for(_TOO_MANY)
        return (
            status,
            [*headers.items(), *(header for header in response[1] if header[0] == "X-Call-Id")],
            body,
        )
    recent.waiting += 1
    try:
        await asyncio.sleep(WAIT_S)
    finally:
        recent.waiting -= 1
    return response


def _take_token(limiter: RateLimiter) -> bool:
    try:
        limiter.acquire("")  # all callers share one bucket
    except TooManyRequests:
        return False
    return True
