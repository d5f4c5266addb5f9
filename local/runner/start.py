"""Start the system: each step waits for its dependencies and is printed."""

import http.client
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import orjson

from local.runner.processes.program import CHECKOUT, StartPhase
from local.runner.processes.supervision import Supervisor, SupervisorLost, log_file
from local.runner.system import System

#: Generous: a busy machine may take ten times as long as usual.
_SERVER_WITHIN_S = 240
_ALL_WITHIN_S = 180
_POLL_EVERY_S = 0.1

PrintStep = Callable[[str], None]


class NotStarted(Exception):
    """The system can't be started; the text names the part and its log."""


def start(system: System, supervisor: Supervisor, print_step: PrintStep) -> list[str]:
    """Start phase after phase; returns the parts that do not work in time.

    Raises:
        NotStarted: a server does not come up, or the migrations fail.
        SupervisorLost: supervisord died.
    """
    private_servers = system.servers.private()
    print_step(
        f"starting {', '.join(private_servers)}" if private_servers else "using your servers"
    )
    supervisor.launch(system.programs, system.environment())
    for name in ("postgres", "redis"):
        _await_server(system, supervisor, name, print_step)
    if system.servers.redis:
        system.servers.redis.begin_first_epoch(system.environment().get("LEADLINE_PORTAL", "main"))
    _migrate(system)
    # The functions wait for RabbitMQ themselves; their imports take as long as its start.
    print_step("database migrated; starting functions, connector, worker, relay and edge")
    removed = [program.name for program in system.programs if program.phase is StartPhase.REMOVED]
    if removed:
        print_step(f"not started, as faas-cli removed them: {', '.join(removed)}")
    _start_phase(system, supervisor, StartPhase.FUNCTIONS)
    _await_server(system, supervisor, "bitrix24", print_step)
    _await_server(system, supervisor, "rabbitmq", print_step)
    failing = _await_all(system, supervisor)
    _start_phase(system, supervisor, StartPhase.AFTER_READY)
    return failing


def _start_phase(system: System, supervisor: Supervisor, phase: StartPhase) -> None:
    supervisor.start_programs(program for program in system.programs if program.phase is phase)


def _await_server(system: System, supervisor: Supervisor, name: str, print_step: PrintStep) -> None:
    server = system.servers.private().get(name)
    if server is None:
        return
    if not wait_until(server.make_ready, supervisor, _SERVER_WITHIN_S):
        log = log_file(system.state, name)
        raise NotStarted(f"{name} does not answer after {_SERVER_WITHIN_S} s; see {log}")
    print_step(f"{name} answers")


def wait_until(condition: Callable[[], bool], supervisor: Supervisor, within_s: float) -> bool:
    """Whether the condition came true in time.

    Raises:
        SupervisorLost: supervisord died, so the condition cannot come true.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        if not supervisor.is_alive():
            raise SupervisorLost
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_EVERY_S)
    return True


def _migrate(system: System) -> None:
    """Migrate the database; raises NotStarted."""
    log = log_file(system.state, "migrate")
    with log.open("ab") as output:
        migration = subprocess.run(
            (sys.executable, "-m", "leadline.runtime.postgres.migrate"),
            check=False,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=CHECKOUT,
            env=system.owner_environment(),
        )
    if migration.returncode != 0:
        raise NotStarted(f"the database can't be migrated; see {log}")


def _await_all(system: System, supervisor: Supervisor) -> list[str]:
    """Wait until every part works; returns those that do not in time, with reasons."""
    failing: dict[str, str] = {}

    def all_parts_work() -> bool:
        failing.clear()
        failing.update(failing_parts(system.edge_url))
        # Waiting would not end a pause or an outage of the portal: these are only reported.
        return not failing.keys() - {"portal"}

    wait_until(all_parts_work, supervisor, _ALL_WITHIN_S)
    return [f"{name} ({reason})" if reason else name for name, reason in failing.items()]


def failing_parts(edge_url: str) -> dict[str, str]:
    """The failing parts in the edge's /healthz, with reasons; the edge itself if it is down."""
    try:
        with urllib.request.urlopen(f"{edge_url}/healthz", timeout=5):  # noqa: S310 - loopback
            return {}
    except urllib.error.HTTPError as error:
        try:
            parts = orjson.loads(error.read())["parts"]
        except (orjson.JSONDecodeError, KeyError, OSError, http.client.HTTPException):
            return {"edge": ""}
        return {
            name: state.get("reason", "")
            for name, state in parts.items()
            if state["status"] == "failing"
        }
    except (OSError, http.client.HTTPException):
        return {"edge": ""}
