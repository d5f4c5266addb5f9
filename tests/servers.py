"""Real servers for tests, and other processes."""

import signal
import subprocess

from local.private.servers import PrivateServer, private
from local.private.waiting import eventually

__all__ = ["PrivateServer", "ended", "eventually", "private"]


def ended(process: subprocess.Popen[bytes], within_s: float = 20) -> int:
    """The exit code of a process that is about to end.

    Raises:
        subprocess.TimeoutExpired: it does not; stderr shows where each of its threads stands.
    """
    try:
        return process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # see PYTHONFAULTHANDLER in conftest.py
        process.wait(5)
        raise
