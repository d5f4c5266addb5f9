"""One emulator for all tests of this folder, reset before each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulator.emulator_process import Emulator, start


@pytest.fixture(scope="session")
def running_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = start(tmp_path_factory.mktemp("emulator") / "state.sqlite3")
    yield emulator
    assert emulator.stop() == 0


@pytest.fixture
def emulator(running_emulator: Emulator) -> Emulator:
    running_emulator.control("POST", "reset")
    return running_emulator


@pytest.fixture(scope="session")
def emulator_over_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, Path]]:
    """An emulator that speaks https, and its certificate."""
    folder = tmp_path_factory.mktemp("tls")
    emulator = start(folder / "state.sqlite3", "--tls")
    cert = folder / "bitrix24-cert.pem"
    emulator.session.verify = str(cert)
    yield emulator, cert
    assert emulator.stop() == 0
