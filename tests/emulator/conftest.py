"""One emulator for all tests here, reset before each."""

from collections.abc import Iterator

import pytest

from tests.emulator.emulator_process import Emulator, start


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = start(tmp_path_factory.mktemp("emulator") / "state.sqlite3")
    yield emulator
    assert emulator.stop() == 0


@pytest.fixture
def emulator(running: Emulator) -> Emulator:
    running.control("POST", "reset")
    return running
