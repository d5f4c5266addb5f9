"""Names, phones and webhooks in what was written, known by how they look, whoever sent them.

Tests give people Cyrillic names and phones in E.164; nothing that we write ourselves has either.
"""

import re
from collections.abc import Iterable

#: Also as JSON and as URLs would have them.
_TELLING = re.compile(
    r"[А-Яа-яЁё]|\\u04[0-9a-f]{2}|%d0%[89ab]|(?:\+|%2b)\d{10,15}\b|/rest/\d+/[\w.-]{8,}/",
    re.IGNORECASE,
)
#: A line of a log at INFO or above, as JSON or as structlog shows it in a terminal.
_LOGGED = re.compile(
    r'"level": ?"(?:info|warning|error|critical)"'
    r"|^(?:\x1b\[\d*m)*\d{4}-\d\d-\d\d.{1,30}\[(?:\x1b\[[\d;]*m)*(?:info|warning|error|critical)"
)


def telling(lines: Iterable[str]) -> list[str]:
    """The lines that tell of a person or hold a webhook."""
    return [line for line in lines if _TELLING.search(line)]


def logged(output: str) -> list[str]:
    """Those lines of a program's output that are lines of its log."""
    return [line for line in output.splitlines() if _LOGGED.search(line)]
