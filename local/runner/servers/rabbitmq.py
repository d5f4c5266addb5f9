"""A private RabbitMQ with its own epmd, cookie, users and management page."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pika
import pika.exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from leadline.settings import settings
from local.logins import rabbitmq as logins
from local.logins.table import LOGINS, OWNER, Login
from local.runner.processes.program import Group, Program, StartPhase
from local.runner.servers.rabbitmq_home import rebuild_minimal_home
from local.runner.state import State, write, write_json

#: The script itself: Debian's wrapper in /usr/sbin refuses users other than root and rabbitmq.
_SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

# Erlang terms: the newer key = value form would be translated at each start.
_CONFIG = """[
 {{rabbit, [
   {{tcp_listeners, [{{"127.0.0.1", {port}}}]}},
   {{load_definitions, "{definitions}"}},
   {{max_message_size, {message_max}}},
   {{log, [{{console, [{{enabled, true}}, {{level, info}}]}}, {{file, [{{file, false}}]}}]}}
 ]}},
 {{rabbitmq_management, [{{tcp_config, [{{ip, "127.0.0.1"}}, {{port, {management_port}}}]}}]}}
].
"""
# Resolves localhost without a name server.
_NAMES = '{lookup, [file, native]}.\n{host, {127,0,0,1}, ["localhost"]}.\n'


@dataclass(frozen=True)
class RabbitMQ:
    """One broker in the state folder, on four loopback ports."""

    state: State
    port: int
    management_port: int
    distribution_port: int
    epmd_port: int

    @property
    def url(self) -> str:
        """The URL of the administrator."""
        return self._url(OWNER, self.state.password("rabbitmq"))

    def url_of(self, login: Login) -> str:
        """The URL of this login."""
        return self._url(login.user, self._password(login))

    @property
    def management_url(self) -> str:
        """The page and API of the management plugin."""
        return f"http://127.0.0.1:{self.management_port}"

    def programs(self) -> tuple[Program, ...]:
        """Erlang's port mapper and the broker, as separate processes, so that each is restarted."""
        folder = self.state.alias() / self.state.folder("rabbitmq").name
        env = self._prepare(folder)
        epmd = (shutil.which("epmd") or "epmd", "-port", str(self.epmd_port))
        return (
            Program(
                "epmd",
                (*epmd, "-address", "127.0.0.1"),
                Group.SERVERS,
                StartPhase.SERVERS,
                folder=folder,
            ),
            Program(
                "rabbitmq",
                (_script(env),),
                Group.SERVERS,
                StartPhase.SERVERS,
                env,
                folder,
                # Its data is on disk within 1 s; then the management plugin idles for 5 s.
                stop_wait_s=2,
            ),
        )

    def make_ready(self) -> bool:
        """Whether a client can log in."""
        parameters = pika.URLParameters(f"{self.url}?blocked_connection_timeout=5")
        parameters.socket_timeout = parameters.stack_timeout = 3
        try:
            pika.BlockingConnection(parameters).close()
        except (pika.exceptions.AMQPError, AMQPConnectorException, OSError):
            return False
        return True

    def _url(self, user: str, password: str) -> str:
        # The default vhost, in a form that all clients parse alike.
        return f"amqp://{user}:{password}@127.0.0.1:{self.port}/%2F"

    def _password(self, login: Login) -> str:
        return self.state.password(f"rabbitmq-{login.name}")

    def _prepare(self, folder: Path) -> dict[str, str]:
        """Write the broker's files; returns its environment."""
        passwords = {login.name: self._password(login) for login in LOGINS}
        definitions = folder / "definitions.json"
        owner = self.state.password("rabbitmq")
        replies = os.environ.get("LEADLINE_REPLY_QUEUES", "")
        content = logins.definitions(passwords, owner_password=owner, reply_queues=replies)
        write_json(definitions, content)
        config = folder / "rabbitmq.config"
        write(
            config,
            _CONFIG.format(
                port=self.port,
                management_port=self.management_port,
                definitions=definitions,
                message_max=message_max(),
            ),
        )
        write(folder / "enabled_plugins", "[rabbitmq_management].\n")
        write(folder / "names", _NAMES)
        home = rebuild_minimal_home(folder)
        minimal = (
            {
                "RABBITMQ_SCRIPTS_DIR": str(home / "sbin"),
                "RABBITMQ_PLUGINS_DIR": str(home / "plugins"),
            }
            if home
            else {}
        )
        return {
            **minimal,
            "HOME": str(folder),
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_INETRC": str(folder / "names"),
            # The script then execs the broker instead of waiting for it as a child.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


def message_max() -> int:
    """Maximum size of a message in bytes; RabbitMQ has this setting since 3.8.

    Above our own limit, so that a message slightly too long becomes a dead letter with a reason;
    far below RabbitMQ's (128 MiB, 16 MiB from 4.0 on: https://www.rabbitmq.com/docs/configure).
    """
    return 2 * settings().body_limit


def _script(env: Mapping[str, str]) -> str:
    if "RABBITMQ_SCRIPTS_DIR" in env:
        return f"{env['RABBITMQ_SCRIPTS_DIR']}/rabbitmq-server"
    return str(_SCRIPT) if _SCRIPT.exists() else shutil.which("rabbitmq-server") or _SCRIPT.name
