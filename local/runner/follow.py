"""Follow the processes' logs and show their lines as a person likes to read them."""

from collections.abc import Iterable
from pathlib import Path

from local.runner.console import Console
from local.runner.program import Program
from local.runner.readable import readable
from local.runner.state import State
from local.runner.supervision import log_file

#: Their logs are long and for experts: in the files only.
_SILENT = frozenset({"postgres", "rabbitmq", "redis", "epmd"})


class Tail:
    """The new lines of one file, across its rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._inode, self._offset = self._end()

    def _end(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_ino, found.st_size

    def new_lines(self) -> list[str]:
        """Whole lines that came since the last call."""
        inode, size = self._end()
        if inode != self._inode or size < self._offset:
            self._inode, self._offset = inode, 0
        if size == self._offset:
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = self._rest + file.read()
            self._offset = file.tell()
        *lines, self._rest = text.split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]


class Follower:
    """All logs that a person wants to see, merged as they come."""

    def __init__(self, state: State, programs: Iterable[Program], console: Console) -> None:
        names = [program.name for program in programs if program.name not in _SILENT]
        self._tails = {name: Tail(log_file(state, name)) for name in names}
        self._console = console

    def show_new_lines(self) -> None:
        """Print what came since the last call."""
        for name, tail in self._tails.items():
            for line in tail.new_lines():
                text = readable(name, line, colours=self._console.has_colours)
                if text:
                    self._console.line(text)
