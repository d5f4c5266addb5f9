"""Refused callers (401, 403): counted, logged, and slowed down once they come in numbers.

Who sends a key that opens what is asked for is never slowed down by that: a refused request waits
for its answer without a thread, and only a quarter of the requests that a replica may have at once
do (Knative counts them by THREADS); all others are answered 429.
"""

import asyncio
from http import HTTPStatus

import structlog

from leadline.errors import TooManyRequests
from leadline.runtime.concurrency import greenlets
from leadline.runtime.http import problem
from leadline.runtime.http.rate_limit import Throttle
from leadline.runtime.telemetry import metrics

REFUSED = metrics.Counter(
    "leadline_callers_refused_total",
    "Requests without a key that opens what was asked for",
    "reason",
    known=("no_key", "unknown_key", "expired_key", "missing_scope"),
)
#: What waits for its answer, how long, and how many may at a time.
STATUSES = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
WAIT_S = 1.0
WAITING_MAX = max(1, greenlets.THREADS // 4)

#: Status, headers and body.
Answer = tuple[int, list[tuple[str, str]], bytes]

log = structlog.get_logger()
_TOO_MANY = TooManyRequests(1, "Too many requests without a key that opens what they ask for.")
#: Lines a second: a flood of guesses must not become one of the log.
_lines = Throttle(per_s=1, burst=20)
#: Refusals a second that are answered at once.
_at_once = Throttle(per_s=1, burst=20)
_not_logged = 0
_waiting = 0


def count(reason: str, prefix: str = "", caller: str = "") -> None:
    """Count a refused request and log whose it was: the key's beginning, its name if it is ours."""
    global _not_logged  # noqa: PLW0603 - of this process
    REFUSED.inc(reason)
    if not _passes(_lines):
        _not_logged += 1
        return
    known = {"caller": caller} if caller else {}
    skipped = {"not_logged": _not_logged} if _not_logged else {}
    _not_logged = 0
    log.warning("caller refused", reason=reason, prefix=prefix, **known, **skipped)


async def slowed(answer: Answer) -> Answer:
    """This refusal: at once if few came lately, else later, or 429 where many wait already."""
    global _waiting  # noqa: PLW0603 - of this process; the loop's thread alone comes here
    if _passes(_at_once):
        return answer
    if _waiting >= WAITING_MAX:
        body, status, headers = problem.of(_TOO_MANY)
        return (
            status,
            [*headers.items(), *(one for one in answer[1] if one[0] == "X-Call-Id")],
            body,
        )
    _waiting += 1
    try:
        await asyncio.sleep(WAIT_S)
    finally:
        _waiting -= 1
    return answer


def _passes(limit: Throttle) -> bool:
    try:
        limit.take("")
    except TooManyRequests:
        return False
    return True
