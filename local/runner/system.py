"""The whole system as a list of programs with their ports and environments."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from local.deployments import Deployments
from local.logins.table import URL_SECRETS, WEBHOOK
from local.runner.choices import Choices
from local.runner.ports import Ports
from local.runner.processes.configuration import socket
from local.runner.processes.leftovers import MARK
from local.runner.processes.program import CHECKOUT, Group, Program, StartPhase
from local.runner.secrets import access, cli_access, owner_access, write_files
from local.runner.servers.selection import Servers
from local.runner.state import State, write_json

EDGE_PORT = 3000
#: Which function serves which queue.
_ROUTES = {"bitrix_queue": "bitrix-handler", "bitrix.responses": "reply-handler"}
_RELAY = "outbox-relay"
#: Folder in the state folder.
DEPLOYMENTS = "deployments"
#: Prefixes of variables that would redirect our servers to other files.
_SERVER_PREFIXES = ("PG", "RABBITMQ_", "ERL_")
#: Each process gets those of its login instead.
_ADDRESSES = (*URL_SECRETS.values(), WEBHOOK.replace("-", "_").upper())
#: Settings of the runner, not of the system.
_RUNNER_SETTINGS = (MARK, "LEADLINE_STATE", "LEADLINE_FREE_PORTS", "LEADLINE_RELAY_EVERY_S")
#: The secret that the relay and the command line read, if there are receivers of results.
_ENDPOINTS = "RESULT_ENDPOINTS"


@dataclass(frozen=True)
class System:
    """One system: its servers, programs and addresses."""

    state: State
    servers: Servers
    programs: tuple[Program, ...]
    functions: Mapping[str, str]
    edge_url: str
    secrets: Path

    def urls(self) -> dict[str, str | None]:
        """The addresses for run.json; servers with the credentials of their administrators."""
        rabbitmq = self.servers.rabbitmq
        return {
            "edge": self.edge_url,
            "bitrix24": self.servers.bitrix24_origin(),
            "database": self.servers.owner_database_url,
            "amqp": self.servers.amqp_url,
            "redis": self.servers.redis_url,
            "rabbitmq_management": rabbitmq.management_url if rabbitmq else None,
        }

    def environment(self) -> dict[str, str]:
        """The environment of every process: the user's variables and our mark, no server's URL."""
        variables = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(_SERVER_PREFIXES) and key.removesuffix("_FILE") not in _ADDRESSES
        }
        has_keys = "API_KEYS" in variables or "LEADLINE_SECRETS_DIR" in variables
        needs_keys = has_keys or not self.servers.is_emulated
        defaults = {"LEADLINE_LOG": "json", "LEADLINE_AUTH": "on" if needs_keys else "off"}
        variables.pop("PORT", None)
        return {
            **defaults,
            **variables,
            "LEADLINE_SECRETS_DIR": str(self.secrets),
            "LEADLINE_DEPLOYMENTS": str(self.state.folder(DEPLOYMENTS)),
            "PYTHONUNBUFFERED": "1",
            MARK: str(self.state.root),
        }

    @property
    def requires_keys(self) -> bool:
        """Whether callers need a key."""
        return self.environment()["LEADLINE_AUTH"] != "off"

    def owner_environment(self) -> dict[str, str]:
        """As `environment`, for migrations: only they get the URL of the database's owner."""
        return {**self.environment(), **owner_access(self.servers)}

    def connections(self) -> dict[str, str]:
        """The variables for the command line: URLs and settings of this system, and its console."""
        settings = {
            name: value
            for name, value in self.environment().items()
            if (name.startswith("LEADLINE_") and name not in _RUNNER_SETTINGS)
            or name.removesuffix("_FILE") == _ENDPOINTS
        }
        if mapping := settings.get("LEADLINE_MAPPING"):
            # The command line may be called in another folder.
            settings["LEADLINE_MAPPING"] = str((CHECKOUT / mapping).resolve())
        console = {"LEADLINE_CONSOLE_URL": f"{self.edge_url}/console"}
        return {**settings, **console, **cli_access(self.servers)}


def plan(state: State, choices: Choices) -> System:
    """Choose ports, list the programs and write the files that they read.

    Raises:
        PortTaken: PORT or BITRIX_PORT is set and not free.
    """
    ports = Ports(state.ports(), with_defaults=not choices.with_free_ports)
    edge = (
        ports.require("edge", choices.port, "PORT")
        if choices.port
        else ports.choose("edge", EDGE_PORT)
    )
    servers = Servers.choose(state, choices, ports)
    folders = function_folders()
    functions = {name: ports.choose(name) for name in folders}
    connector = ports.choose("connector")
    workers = _workers(choices.workers, ports)
    state.save_ports(ports.chosen)
    urls = {name: f"http://127.0.0.1:{port}" for name, port in functions.items()}
    secrets = write_files(state, servers)
    own_programs = (
        *(
            _function(state, name, folders[name], port, choices.threads)
            for name, port in functions.items()
        ),
        *workers,
        _connector(connector, urls),
        *_relay(state, urls, choices),
        _edge(
            state,
            edge,
            _edge_config(state, servers, urls, connector, choices),
            _gateway(state, secrets),
        ),
    )
    programs = (
        *(program for server in servers.private().values() for program in server.programs()),
        *(_with_access(program, servers) for program in own_programs),
    )
    return System(state, servers, programs, urls, f"http://127.0.0.1:{edge}", secrets)


def _with_access(program: Program, servers: Servers) -> Program:
    part = "worker" if program.name.startswith("worker") else program.name
    return replace(program, env={**program.env, **access(part, servers)})


def function_folders() -> dict[str, Path]:
    """Every folder in functions/ with a main.py: folder create_user is function create-user."""
    entry_points = sorted((CHECKOUT / "functions").glob("*/main.py"))
    return {path.parent.name.replace("_", "-"): path.parent for path in entry_points}


def _python(module: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *words)


def _function(state: State, name: str, folder: Path, port: int, threads: int) -> Program:
    env = {"HOST": "127.0.0.1", "PORT": str(port), "THREADS": str(threads)}
    is_removed = Deployments(state.folder(DEPLOYMENTS)).is_removed(name)
    phase = StartPhase.REMOVED if is_removed else StartPhase.FUNCTIONS
    command = _python("local.deployed", str(folder.relative_to(CHECKOUT)))
    # It drains its connections for up to 1.5 s, then publishes and marks its last events.
    return Program(name, command, Group.FUNCTIONS, phase, env, stop_wait_s=5)


def _workers(count: int, ports: Ports) -> list[Program]:
    """The workers; one starts at first, as others would only compete for CPU during the start."""
    command = _python("leadline.sync.worker")
    names = ["worker", *(f"worker-{number}" for number in range(2, count + 1))][:count]
    return [
        Program(
            name,
            command,
            Group.FUNCTIONS,
            StartPhase.FUNCTIONS if name == "worker" else StartPhase.AFTER_READY,
            {"PORT": str(ports.choose(name))},
        )
        for name in names
    ]


def _connector(port: int, urls: Mapping[str, str]) -> Program:
    routes = {queue: f"{urls[name]}/" for queue, name in _ROUTES.items() if name in urls}
    env = {"PORT": str(port), "LEADLINE_ROUTES": json.dumps(routes)}
    command = _python("leadline.connector.consumer")
    return Program("connector", command, Group.FUNCTIONS, StartPhase.FUNCTIONS, env)


def _relay(state: State, urls: Mapping[str, str], choices: Choices) -> list[Program]:
    if _RELAY not in urls:
        return []
    words = ("--every", str(choices.relay_every_s), "--tick", str(state.root / "relay.tick"))
    command = _python("leadline.connector.schedule", urls[_RELAY], *words)
    return [Program("relay", command, Group.FUNCTIONS, StartPhase.FUNCTIONS)]


def _edge(state: State, port: int, config: Mapping[str, Any], gateway: object) -> Program:
    """The edge, whose configuration is written here."""
    path = state.root / "edge.json"
    write_json(path, config)
    env = {
        "LEADLINE_EDGE": str(path),
        # Quoted again in supervisord.conf, where an apostrophe in a path would end the value.
        "LEADLINE_GATEWAY": json.dumps(gateway).replace("'", "\\u0027"),
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }
    command = _python("local.gateway")
    return Program("edge", command, Group.EDGE, StartPhase.FUNCTIONS, env, stop_wait_s=1)


def _gateway(state: State, secrets: Path) -> dict[str, Any]:
    """The configuration of the edge's OpenFaaS API."""
    return {
        "platform": {"supervisor": str(socket(state)), "logs": str(state.logs)},
        "deployments": str(state.folder(DEPLOYMENTS)),
        "secrets": str(secrets),
        "password": str(state.root / "passwords" / "gateway"),
    }


def _edge_config(
    state: State, servers: Servers, urls: Mapping[str, str], connector: int, choices: Choices
) -> dict[str, Any]:
    return {
        "functions": dict(urls),
        "connector": f"http://127.0.0.1:{connector}",
        "emulator": servers.bitrix24.url if servers.bitrix24 else None,
        "workers": choices.workers > 0,
        "relay": {
            "tick": str(state.root / "relay.tick"),
            "every_s": choices.relay_every_s,
        },
    }
