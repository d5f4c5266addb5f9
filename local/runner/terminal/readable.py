"""Format a JSON log line for people; a plain line only if it looks like a problem."""

import datetime as dt
import re
from http import HTTPStatus
from typing import Any

import orjson

_PROBLEM = re.compile(r"error|warning|critical|traceback|exception|denied|refused", re.IGNORECASE)
_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
#: Shown in another way already, or useful to machines only.
_HIDDEN = frozenset({"timestamp", "level", "event", "logger", "service", "pid"})
_ROUTINE_LEVELS = frozenset({"debug", "info"})
#: The line that a worker logs for each event that Bitrix24 has accepted.
_ENDS = frozenset({"completed"})


def readable(name: str, line: str, *, colours: bool) -> str | None:
    """Time, process, message and fields; None for a line not worth showing."""
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict) or "event" not in fields:
        is_problem = _PROBLEM.search(line)
        return _paint(f"         {name:<15} {line}", _DIM, colours) if is_problem else None
    if _is_routine(fields):
        return None
    level = str(fields.get("level", "info"))
    visible_fields = (
        f"{key}={_short(value)}" for key, value in fields.items() if _is_shown(key, value)
    )
    text = f"{_clock(fields.get('timestamp'))} {name:<15} {fields['event']}"
    return _paint(
        f"{text:<70} {'  '.join(visible_fields)}".rstrip(), _COLOURS.get(level, ""), colours
    )


def _is_routine(fields: dict[str, Any]) -> bool:
    """Whether the line is neither a problem nor the end of an event: then only files have it."""
    if fields["event"] == "request":
        return bool(fields.get("status", 0) < HTTPStatus.BAD_REQUEST)
    return fields.get("level", "info") in _ROUTINE_LEVELS and fields["event"] not in _ENDS


def _is_shown(key: str, value: Any) -> bool:
    return key not in _HIDDEN and value is not None


def _short(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def _clock(timestamp: Any) -> str:
    try:
        return dt.datetime.fromisoformat(str(timestamp)).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return "--:--:--"


def _paint(text: str, colour: str, colours: bool) -> str:  # noqa: FBT001 - passed on
    return f"{colour}{text}{_PLAIN}" if colours and colour else text
