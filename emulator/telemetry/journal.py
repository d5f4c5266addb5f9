"""The journal: a file with every request and its outcome, as lines of JSON.

Counts and settings are lost when the emulator is killed; written lines are not. Each line has
`what`, `request` (an id, the same in all lines of a request) and `at` (unix seconds of the portal's
clock):

- `arrived`: a request; its `address`, and the `code` of the webhook in its path, if any
- `asked`: its `method` and `commands` (`key`, `method`, `params`), and the `fault` applied to it
- `ran`: the command `key` (empty outside a batch) has run: its `error` (code), or the `lead` that
  it wrote
- `answered`: HTTP `status` and `error`; status 0 if the connection was aborted
"""

import json
import os
from itertools import count
from pathlib import Path


class Journal:
    """Appends to a file; without a file, does nothing."""

    def __init__(self, path: Path | None = None) -> None:
        # Unbuffered: written lines survive a kill of this process.
        self._file = path.open("ab", buffering=0) if path else None
        self._numbers = count()

    def new_request_id(self) -> str:
        """An id for a request, unique even across restarts."""
        return f"{os.getpid()}-{next(self._numbers)}"

    def note(self, what: str, request_id: str, at: float, **extra: object) -> None:
        """Append a line."""
        if self._file is not None:
            line = {"what": what, "request": request_id, "at": at, **extra}
            self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
