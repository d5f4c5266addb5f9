"""Finds names, phones and webhooks in the output of any process, by their form.

Tests give users Cyrillic names and E.164 phones; the code itself writes neither.
"""

import re
from collections.abc import Iterable

#: Also as escaped in JSON and in URLs.
_CONFIDENTIAL = re.compile(
    r"[А-Яа-яЁё]|\\u04[0-9a-f]{2}|%d0%[89ab]|(?:\+|%2b)\d{10,15}\b|/rest/\d+/[\w.-]{8,}/",
    re.IGNORECASE,
)
#: A log line at INFO or above, as JSON or as structlog prints it in a terminal.
_LOGGED = re.compile(
    r'"level": ?"(?:info|warning|error|critical)"'
    r"|^(?:\x1b\[\d*m)*\d{4}-\d\d-\d\d.{1,30}\[(?:\x1b\[[\d;]*m)*(?:info|warning|error|critical)"
)


def leaking(lines: Iterable[str]) -> list[str]:
    """The lines that contain personal data or a webhook."""
    return [line for line in lines if _CONFIDENTIAL.search(line)]


def log_lines(output: str) -> list[str]:
    """The lines of a program's output that are log lines."""
    return [line for line in output.splitlines() if _LOGGED.search(line)]
