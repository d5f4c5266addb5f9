"""An event's attempt log: fits a header, and is ignored when malformed."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.messages import attempt_log
from leadline.messages.attempt_log import MAX_ATTEMPTS, MAX_ERROR, MAX_HEADER, AttemptLog

#: Times with as many digits as a log can store, and as they have for years to come.
LATEST_MS, IN_2039_MS = 2**52, 2**41


def test_an_attempt_log_passes_a_header_unchanged() -> None:
    log = AttemptLog(1).with_attempt(2, "Портал не отвечает").with_attempt(3, None)
    assert attempt_log.from_header(log.to_header()) == log


@given(st.lists(st.text(st.characters(max_codepoint=0x7FF, exclude_categories=["Cs"])), max_size=3))
def test_a_header_of_three_attempts_with_any_errors_is_short_and_readable(
    errors: list[str],
) -> None:
    log = AttemptLog(LATEST_MS)
    for error in errors:
        log = log.with_attempt(LATEST_MS, error)
    header = log.to_header()
    if header is not None:
        assert len(header) <= MAX_HEADER
        assert attempt_log.from_header(header) is not None


def test_two_long_russian_errors_and_a_last_attempt_are_kept() -> None:
    log = (
        AttemptLog(IN_2039_MS)
        .with_attempt(IN_2039_MS, "я" * 500)
        .with_attempt(IN_2039_MS, "я" * 500)
        .with_attempt(IN_2039_MS, None)
    )
    assert log.to_header() is not None
    assert [len(attempt.error or "") for attempt in log.tries] == [MAX_ERROR, MAX_ERROR, 0]


def test_no_more_than_the_last_attempts_are_kept() -> None:
    log = AttemptLog()
    for at_ms in range(50):
        log = log.with_attempt(at_ms, None)
    assert [attempt.at_ms for attempt in log.tries] == list(range(50 - MAX_ATTEMPTS, 50))


def test_the_replys_reason_is_the_last_attempts_error() -> None:
    log = AttemptLog().with_attempt(1, "first").with_attempt(2, None).with_final_error("last")
    assert [attempt.error for attempt in log.tries] == ["first", "last"]
    assert AttemptLog().with_final_error("never tried") == AttemptLog()


@pytest.mark.parametrize(
    "header",
    ["", "#", "bm90IGpzb24", base64.urlsafe_b64encode(b'{"tries": [{"at_ms": -1}]}').decode()],
)
def test_a_malformed_attempt_log_is_ignored(header: str) -> None:
    assert attempt_log.from_header(header) is None
    assert attempt_log.from_header(None) is None


# A removed character must not join two others into a new escape sequence.
@pytest.mark.parametrize("error", [r"a\u0000b", r"a\u00\u000000b", r"\n\u001b[31m", r"\u009b31m"])
def test_characters_that_postgres_or_a_terminal_cannot_handle_are_removed(error: str) -> None:
    text = f'{{"received_ms": 1, "tries": [{{"at_ms": 1, "error": "{error}"}}]}}'
    log = attempt_log.from_header(base64.urlsafe_b64encode(text.encode()).decode())
    tries = log.tries if log is not None else ()
    assert all((attempt.error or "").isprintable() for attempt in tries)
