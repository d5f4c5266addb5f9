"""The search for leaks in the logs of all tests finds what it looks for."""

import json

import pytest
import structlog

from tests.leaks import leaking, log_lines

PERSON = ("Иван Иванов", "+77001112233")


@pytest.mark.parametrize("person", PERSON)
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_personal_data_in_a_log_line_is_found(person: str, *, ensure_ascii: bool) -> None:
    line = json.dumps({"event": person, "level": "info"}, ensure_ascii=ensure_ascii)
    assert leaking(log_lines(f"what a command prints: {person}\n{line}\n")) == [line]


def test_a_line_in_terminal_format_is_found() -> None:
    render = structlog.dev.ConsoleRenderer()
    event = {"timestamp": "2026-01-31 12:00:00", "level": "warning", "event": PERSON[0]}
    line = render(None, "warning", event)
    assert leaking(log_lines(line)) == [line]


@pytest.mark.parametrize(
    "text",
    ["GET /users?phone=%2B77001112233", "%D0%98%D0%B2", "https://a.example/rest/1/abcdefgh12/"],
)
def test_personal_data_or_a_webhook_in_a_url_is_found(text: str) -> None:
    assert leaking([text]) == [text]


def test_text_that_we_write_ourselves_is_not_personal_data() -> None:
    line = '{"event":"completed","timestamp":"2026-11-28T09:28:51.621737Z","user_id":77001112233}'
    assert leaking([line, "2026-11-28 09:28:51.621 +0000", "/rest/1/[hidden]/"]) == []
