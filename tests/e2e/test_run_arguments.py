"""No secret appears in the list of processes, which every login of the machine can read."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system import System

API_KEY = "a-key-that-somebody-gave"
LOOK_EVERY_S = 0.01


class _Watch(threading.Thread):
    """Records the command line of every process, from `start` until `stop`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(LOOK_EVERY_S):
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):  # it has ended
                    self.seen.add(process.read_bytes())

    def stop(self) -> None:
        self._is_over.set()
        self.join()


def _secrets_of(system: System) -> Iterator[str]:
    """What this run has generated or was given, each without the URL around it."""
    for folder in ("passwords", "secrets"):
        for path in (system.state.root / folder).iterdir():
            text = path.read_text(encoding="utf-8").strip()
            yield text
            if "://" in text and "@" in text:
                yield text.rpartition("@")[0].rpartition(":")[2]


@pytest.mark.slow("starts a system of its own")
def test_no_process_ever_has_a_secret_among_its_arguments(
    new_system: Callable[..., System],
) -> None:
    system = new_system(WORKERS="1", API_KEYS=API_KEY, LEADLINE_AUTH="on")
    watch = _Watch()
    watch.start()
    system.start()
    system.await_relay_run()
    watch.stop()
    secrets = set(_secrets_of(system))
    assert API_KEY in secrets
    assert len(secrets) > 5
    assert any(b"leadline.sync.worker" in each for each in watch.seen)
    assert any(b"initdb" in each for each in watch.seen)
    found = [each for each in watch.seen if any(secret.encode() in each for secret in secrets)]
    assert found == []
