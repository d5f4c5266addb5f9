"""Read a log as it grows, across its rotation."""

from pathlib import Path


class Tail:
    """The new lines of one file; `from_start` begins with those that it has already."""

    def __init__(self, path: Path, *, from_start: bool = False) -> None:
        self._path = path
        self._rest = b""
        self._inode, self._offset = self._end()
        if from_start:
            self._offset = 0

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
