"""From nothing to a system that answers: each step waits for what it needs, and says so."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import orjson

from local.runner.program import CHECKOUT, Stage
from local.runner.supervision import Supervisor, SupervisorLost, log_file
from local.runner.system import System

_SERVER_WITHIN_S = 90
_ALL_WITHIN_S = 60
_LOOK_EVERY_S = 0.1

Say = Callable[[str], None]


class NotStarted(Exception):
    """The system can't be started; the text tells which part and where its log is."""


def start(system: System, supervisor: Supervisor, say: Say) -> list[str]:
    """Start stage after stage; returns the parts that don't work yet after a fair time.

    Raises:
        NotStarted: a server does not come up, or the migrations fail.
        SupervisorLost: supervisord died.
    """
    ours = system.servers.ours()
    say(f"starting {', '.join(ours)}" if ours else "using your servers")
    supervisor.start(system.programs, system.environment())
    for name in ("postgres", "redis"):
        _await_server(system, supervisor, name, say)
    if system.servers.redis:
        system.servers.redis.begin(system.environment().get("LEADLINE_PORTAL", "main"))
    _migrate(system)
    # They wait for RabbitMQ by themselves; imports take as long as it does to come up.
    say("database migrated; starting functions, connector, worker, relay and edge")
    removed = [each.name for each in system.programs if each.stage is Stage.LATER]
    if removed:
        say(f"not started, as faas-cli removed them: {', '.join(removed)}")
    _start_stage(system, supervisor, Stage.FUNCTIONS)
    _await_server(system, supervisor, "bitrix24", say)
    _await_server(system, supervisor, "rabbitmq", say)
    ailing = _await_all(system, supervisor)
    _start_stage(system, supervisor, Stage.MORE)
    return ailing


def _start_stage(system: System, supervisor: Supervisor, stage: Stage) -> None:
    supervisor.start_more(program for program in system.programs if program.stage is stage)


def _await_server(system: System, supervisor: Supervisor, name: str, say: Say) -> None:
    server = system.servers.ours().get(name)
    if server is None:
        return
    if not wait_until(server.is_ready, supervisor, _SERVER_WITHIN_S):
        log = log_file(system.state, name)
        raise NotStarted(f"{name} does not answer after {_SERVER_WITHIN_S} s; see {log}")
    say(f"{name} answers")


def wait_until(condition: Callable[[], bool], supervisor: Supervisor, within_s: float) -> bool:
    """Whether the condition came true in time.

    Raises:
        SupervisorLost: nobody is left who would make it come true.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        if not supervisor.is_alive():
            raise SupervisorLost
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def _migrate(system: System) -> None:
    log = log_file(system.state, "migrate")
    with log.open("ab") as output:
        done = subprocess.run(
            (sys.executable, "-m", "leadline.runtime.postgres.migrate"),
            check=False,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=CHECKOUT,
            env=system.owner_environment(),
        )
    if done.returncode != 0:
        raise NotStarted(f"the database can't be migrated; see {log}")


def _await_all(system: System, supervisor: Supervisor) -> list[str]:
    ailing = {"edge": ""}

    def is_well() -> bool:
        ailing.clear()
        ailing.update(ailing_parts(system.edge_url))
        # The portal is not started here: there is nothing to wait for.
        return not ailing.keys() - {"portal"}

    wait_until(is_well, supervisor, _ALL_WITHIN_S)
    return [f"{name} ({reason})" if reason else name for name, reason in ailing.items()]


def ailing_parts(edge_url: str) -> dict[str, str]:
    """What the edge's /healthz says does not work, and why; the edge itself if it says nothing."""
    try:
        with urllib.request.urlopen(f"{edge_url}/healthz", timeout=5):  # noqa: S310 - loopback
            return {}
    except urllib.error.HTTPError as error:
        try:
            parts = orjson.loads(error.read())["parts"]
        except (orjson.JSONDecodeError, KeyError, OSError):
            return {"edge": ""}
        return {
            name: state.get("reason", "")
            for name, state in parts.items()
            if state["status"] == "failing"
        }
    except OSError:
        return {"edge": ""}
