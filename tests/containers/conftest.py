"""One compose system for all tests of this folder: built, started and removed."""

from collections.abc import Iterator

import pytest

from local.runner.ports import Ports
from tests.containers.engine import BUILT_WITHIN_S, MEASURED, STOPPED_WITHIN_S, Compose


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report the measurements."""
    for name, value in MEASURED.items():
        terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def compose() -> Iterator[Compose]:
    ports = Ports({}, with_defaults=False)
    env = {name: str(ports.choose(name)) for name in ("PORT", "BITRIX_PORT", "RABBITMQ_UI_PORT")}
    system = Compose("leadline-test", {**env, "OWNER": "leadline-test", "LEADLINE_AUTH": "off"})
    system.run("down", "--volumes", within_s=STOPPED_WITHIN_S)
    system.run("build", within_s=BUILT_WITHIN_S)
    try:
        system.up()
        yield system
    finally:
        system.run("down", "--volumes", within_s=STOPPED_WITHIN_S)
