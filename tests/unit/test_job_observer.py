"""The log lines of a job: why a call failed, without the portal's own text."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from leadline.errors import BitrixError, OutcomeUnknown, Rejected, Unavailable
from leadline.sync.decide import settle_failure
from leadline.sync.job_observer import JobObserver
from tests.unit.entries import entry, pending

QUOTE = "The phone of Ann Lee is wrong"


@pytest.mark.parametrize(
    ("attempts", "error", "line", "code"),
    [
        (
            0,
            OutcomeUnknown(QUOTE, code="INTERNAL_SERVER_ERROR"),
            "retry in 2000 ms",
            "INTERNAL_SERVER_ERROR",
        ),
        (1, Unavailable(QUOTE), "retry in 4000 ms", ""),
        (0, Rejected(QUOTE, code="100"), "failed", "100"),
        (2, OutcomeUnknown(QUOTE, code="502"), "failed", "502"),
    ],
)
def test_a_failure_is_logged_with_its_class_and_code(
    attempts: int, error: BitrixError, line: str, code: str
) -> None:
    settlement = replace(
        settle_failure(entry(pending(attempts=attempts)), error, now_ms=0), error=error
    )
    with capture_logs() as lines:
        JobObserver(users=1).settled(settlement)
    (logged,) = lines
    assert (logged["event"], logged["error"], logged["code"]) == (line, type(error).__name__, code)
    assert QUOTE not in str(logged)
