"""A private Redis that persists everything and never evicts keys."""

import shutil
from dataclasses import dataclass

import redis

from leadline.workqueue.queue import WorkQueue
from local.logins import redis as logins
from local.logins.table import LOGINS, Login
from local.runner.processes.program import Group, Program, StartPhase
from local.runner.state import State, write


@dataclass(frozen=True)
class Redis:
    """One Redis in the state folder, on one loopback port."""

    state: State
    port: int

    @property
    def url(self) -> str:
        """The URL of the administrator."""
        return f"redis://:{self.state.password('redis')}@127.0.0.1:{self.port}/0"

    def url_of(self, login: Login) -> str:
        """The URL of this login."""
        return f"redis://{login.user}:{self._password(login)}@127.0.0.1:{self.port}/0"

    def programs(self) -> tuple[Program, ...]:
        """The server; its passwords are in a file, not on its command line."""
        folder = self.state.folder("redis")
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(folder),
            "requirepass": self.state.password("redis"),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "save": '""',
            "daemonize": "no",
        }
        config = folder / "redis.conf"
        lines = [f"{key} {_quoted(value)}" for key, value in settings.items()]
        passwords = {login.name: self._password(login) for login in LOGINS}
        lines += [f"user {user}" for user in logins.users(passwords)]
        write(config, "".join(f"{line}\n" for line in lines))
        command = (shutil.which("redis-server") or "redis-server", str(config))
        return (Program("redis", command, Group.SERVERS, StartPhase.SERVERS, folder=folder),)

    def _password(self, login: Login) -> str:
        return self.state.password(f"redis-{login.name}")

    def begin_first_epoch(self, portal: str) -> None:
        """Tell the work queue that an empty Redis is new, and was not flushed."""
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            WorkQueue(client, portal).begin_first_epoch()

    def make_ready(self) -> bool:
        """Whether it answers and has loaded its data."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value
