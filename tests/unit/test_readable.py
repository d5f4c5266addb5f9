"""The terminal of `make run`: a line for each finished event, and problems."""

import json

import pytest

from local.runner.terminal.readable import readable


@pytest.mark.parametrize(
    ("fields", "is_shown"),
    [
        ({"event": "completed", "level": "info", "user_id": 7}, True),
        ({"event": "retry in 2000 ms", "level": "warning"}, True),
        ({"event": "failed", "level": "error"}, True),
        ({"event": "event received", "level": "info"}, False),
        ({"event": "request", "level": "info", "path": "/users", "status": 201}, False),
        ({"event": "request", "level": "info", "path": "/users", "status": 422}, True),
        ({"event": "request", "level": "info", "path": "/console/api/status", "status": 503}, True),
    ],
    ids=str,
)
def test_the_terminal_shows_outcomes_and_problems(
    fields: dict[str, object],
    is_shown: bool,  # noqa: FBT001
) -> None:
    text = readable("worker", json.dumps(fields), colours=False)
    assert (text is not None) == is_shown
    if text and "user_id" in fields:
        assert "user_id=7" in text
