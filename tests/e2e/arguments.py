"""Records the command lines of processes while a system starts."""

import contextlib
import os
import threading
from pathlib import Path

_LOOK_EVERY_S = 0.01


class Arguments(threading.Thread):
    """Records the command line of every process that starts between `start` and `stop`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self._earlier = set(_pids())
        self._is_over = threading.Event()

    def run(self) -> None:
        """Poll: a process replaces its arguments when it executes a program."""
        while not self._is_over.wait(_LOOK_EVERY_S):
            for pid in _pids():
                if pid not in self._earlier:
                    with contextlib.suppress(OSError):  # it has ended
                        self.seen.add(Path(f"/proc/{pid}/cmdline").read_bytes())

    def stop(self) -> None:
        """End the recording."""
        self._is_over.set()
        self.join()


def _pids() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names suffice
