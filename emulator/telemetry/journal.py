"""What every request asked and what became of it, a line of JSON each, in a file of its own.

Counts and settings are lost when the emulator is killed; a line that was written stays. Each line
has `what`, the `request` (the same in all of its lines) and `at`, unix seconds of the portal's
clock:

- `arrived`: a request; its `address`, and the `code` of the webhook in its path, if any
- `asked`: its `method` and `commands` (`key`, `method`, `params`), and the `fault` that befalls it
- `ran`: the command `key` came to its `error` (code), or was done, to the `lead` that it concerns
- `answered`: HTTP `status` and `error`; status 0 where the connection was broken off
"""

import json
import os
from itertools import count
from pathlib import Path


class Journal:
    """Appends to a file; without one it does nothing."""

    def __init__(self, path: Path | None = None) -> None:
        # Unbuffered: a line is the system's once it is written, also if we are killed.
        self._file = path.open("ab", buffering=0) if path else None
        self._numbers = count()

    def number(self) -> str:
        """A name for a request that no other has, also after a restart."""
        return f"{os.getpid()}-{next(self._numbers)}"

    def note(self, what: str, request: str, at: float, **more: object) -> None:
        """A line."""
        if self._file is not None:
            line = {"what": what, "request": request, "at": at, **more}
            self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
