"""One compose system for all tests of this folder: built, started and removed."""

from collections.abc import Iterator

import pytest

from local.runner.ports import Ports
from tests.containers.engine import STOPPED_WITHIN_S, Compose


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report what the tests have measured."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def compose() -> Iterator[Compose]:
    ports = Ports({}, with_defaults=False)
    env = {name: str(ports.choose(name)) for name in ("PORT", "BITRIX_PORT", "RABBITMQ_UI_PORT")}
    system = Compose("leadline-test", {**env, "OWNER": "leadline-test", "LEADLINE_AUTH": "off"})
    system.run("down", "--volumes", within_s=STOPPED_WITHIN_S)
    system.build()
    try:
        system.up()
        yield system
    finally:
        system.run("down", "--volumes", within_s=STOPPED_WITHIN_S)
