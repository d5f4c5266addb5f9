"""Read a log file as it grows, across rotations."""

from pathlib import Path


class Tail:
    """The new lines of one file; with `from_start` also the existing ones."""

    def __init__(self, path: Path, *, from_start: bool = False) -> None:
        self._path = path
        self._rest = b""
        self._inode, self._offset = self._end()
        if from_start:
            self._offset = 0

    def _end(self) -> tuple[int, int]:
        """The file's inode and size; zeros if there is none."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return stat.st_ino, stat.st_size

    def new_lines(self) -> list[str]:
        """Complete lines since the last call."""
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
