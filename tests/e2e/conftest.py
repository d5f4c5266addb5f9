"""One running system for all tests of this folder, and a factory for others."""

import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from functools import partial

import pytest
from redis import Redis

from local.runner.state import State
from tests.faults import portal, system_logs
from tests.faults.amqp_client import AmqpClient, connect
from tests.faults.portal import SHORT_WAITS
from tests.forks import Forks
from tests.servers import eventually
from tests.system import System

Leadline = Callable[..., subprocess.CompletedProcess[str]]
_CONNECTIONS = ("DATABASE_URL", "AMQP_URL", "REDIS_URL", "BITRIX_WEBHOOK_URL")
#: The methods that a system calls at startup.
_AT_START = {"profile", "crm.settings.mode.get", "crm.status.list", "crm.lead.list"}
_FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="package")
def running_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Started once, by the real runner; its first requests to the portal are done."""
    with system_logs.leak_checked(
        System(State(tmp_path_factory.mktemp("system")), SHORT_WAITS)
    ) as system:
        eventually(
            lambda: system.control("GET", "calls")["methods"].keys() >= _AT_START,
            120,
            "the portal has answered the first requests",
        )
        yield system
        with Redis.from_url(system.url("redis")) as owner:
            refused = [(refusal["username"], refusal["object"]) for refusal in owner.acl_log()]
    assert not refused, "Redis has refused a command that a part of the system needs"


@pytest.fixture
def system(running_system: System, request: pytest.FixtureRequest) -> Iterator[System]:
    """The running system that all tests share; its logs are shown when the test fails."""
    yield running_system
    _show_logs(request, running_system)


@pytest.fixture
def portal_in_order(system: System) -> Iterator[None]:
    """The portal without faults before and after the test; no user waits before it."""
    with portal.in_order(system):
        yield


@pytest.fixture
def amqp(system: System) -> Iterator[AmqpClient]:
    """An AMQP client of the running system."""
    with connect(system) as amqp:
        yield amqp


@pytest.fixture
def leadline(system: System, forks: Forks) -> Leadline:
    """Runs a command with no setting but the location of the local run."""
    environment = {name: value for name, value in os.environ.items() if name not in _CONNECTIONS}
    environment["LEADLINE_STATE"] = str(system.state.root)
    return partial(forks.run, "leadline", env=environment)


@pytest.fixture
def new_system(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[..., System]]:
    """Make another system, not yet started; keyword arguments are extra environment variables."""
    systems: list[System] = []

    def make(**env: str) -> System:
        systems.append(System(State(tmp_path_factory.mktemp("system")), env))
        return systems[-1]

    yield make
    for system_ in systems:
        _show_logs(request, system_)
    _end(systems)


@pytest.fixture(scope="package")
def _disposable() -> Iterator[list[System]]:
    """The systems of `fresh_system`."""
    systems: list[System] = []
    yield systems
    _end(systems)


@pytest.fixture
def fresh_system(
    _disposable: list[System],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[System]:
    """A running system that no test has used yet."""
    system_ = System(State(tmp_path_factory.mktemp("system")), {"WORKERS": "1"})
    _disposable.append(system_)
    system_.start()
    yield system_
    _show_logs(request, system_)


@pytest.fixture
def disposable_system(
    _disposable: list[System], request: pytest.FixtureRequest
) -> Iterator[System]:
    """A running system that the test may stop and kill: a used one, if there is one."""
    running = [
        disposable
        for disposable in _disposable
        if disposable.runner and disposable.runner.poll() is None
    ]
    system_ = running[0] if running else request.getfixturevalue("fresh_system")
    yield system_
    _show_logs(request, system_)


def _end(systems: list[System]) -> None:
    """Stop these systems; none of their logs may contain personal data or a secret."""
    for running in systems:
        running.end()
    for running in systems:
        assert not (found := system_logs.leaks(running)), found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record a failure for the fixtures that show logs."""
    report = yield
    if call.when == "call":
        item.stash[_FAILED] = report.failed
    return report


def _show_logs(request: pytest.FixtureRequest, system: System) -> None:
    if request.node.stash.get(_FAILED, False):
        sys.stdout.write(system.logs())
