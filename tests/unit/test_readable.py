"""The terminal of `make run` shows requests, but not those that an open console repeats."""

import json

import pytest

from local.runner.terminal.readable import readable


@pytest.mark.parametrize(
    ("path", "status", "is_shown"),
    [
        ("/users", 200, True),
        ("/console/api/status", 200, False),
        ("/console/api/status", 503, True),
        ("/console", 200, True),
    ],
)
def test_an_open_console_does_not_fill_the_terminal(
    path: str,
    status: int,
    is_shown: bool,  # noqa: FBT001
) -> None:
    line = json.dumps({"event": "request", "path": path, "status": status})
    assert (readable("edge", line, colours=False) is not None) == is_shown
