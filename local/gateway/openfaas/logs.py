"""Parse a function's log files into the API's log lines."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import orjson

from local.gateway.openfaas.platform import LogLine
from local.runner.terminal.tail import Tail

_POLL_EVERY_S = 0.2


async def read(
    path: Path, name: str, since: dt.datetime | None, tail: int | None, *, is_followed: bool
) -> AsyncIterator[LogLine]:
    """The lines of this file and its rotated predecessors; if followed, then new ones, without end.

    `since` omits older lines; `tail` limits the existing lines.
    """
    growing = Tail(path, from_start=True)
    parser = _Parser(name, path)
    texts = await asyncio.to_thread(lambda: [*_rotated_lines(path), *growing.new_lines()])
    lines = [line for line in parser.lines(texts) if since is None or line.at >= since]
    for line in lines[-tail:] if tail else lines:
        yield line
    while is_followed:
        await asyncio.sleep(_POLL_EVERY_S)
        for line in parser.lines(growing.new_lines()):
            yield line


def _rotated_lines(path: Path) -> list[str]:
    """The lines of the rotated files, oldest first; supervisord appends .1 to the newest file."""
    files = sorted(path.parent.glob(f"{path.name}.[0-9]"), reverse=True)
    return [
        line
        for file in files
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
    ]


class _Parser:
    """Parses lines; one without a time, as in a stack trace, gets the time of the line before."""

    def __init__(self, name: str, path: Path) -> None:
        self._name = name
        self._at = _changed_at(path)

    def lines(self, texts: Iterable[str]) -> Iterable[LogLine]:
        for text in texts:
            fields = _fields(text)
            self._at = _time(fields.get("timestamp")) or self._at
            pid = fields.get("pid")
            yield LogLine(self._at, f"{self._name}-{pid}" if pid else self._name, text)


def _changed_at(path: Path) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
    except FileNotFoundError:
        return dt.datetime.now(dt.UTC)


def _fields(text: str) -> dict[str, object]:
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _time(value: object) -> dt.datetime | None:
    try:
        moment = dt.datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
