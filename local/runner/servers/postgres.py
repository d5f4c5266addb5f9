"""A private Postgres: its own cluster, scram passwords, fsync on, an owner and a lesser login."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pg8000.exceptions
import pg8000.native

from local.runner import unprivileged
from local.runner.program import Group, Program, Stage
from local.runner.state import State, write

OWNER = "leadline"
#: What functions, connector and workers use: it can neither drop nor alter.
FUNCTIONS = "leadline_functions"
#: The group that the migrations grant its rights to.
GROUP = "leadline_app"
DATABASE = "leadline"
_MAX_CONNECTIONS = 200


@dataclass(frozen=True)
class Postgres:
    """One cluster in the state folder, on one port of the loopback."""

    state: State
    port: int

    @property
    def url(self) -> str:
        """Where the owner connects, who migrates."""
        return self._url(OWNER)

    @property
    def functions_url(self) -> str:
        """Where functions connect."""
        return self._url(FUNCTIONS)

    def programs(self) -> tuple[Program, ...]:
        """The postmaster; SIGINT is its fast shutdown, which waits for no client."""
        data = self._cluster()
        words = (binary("postgres"), "-D", str(data), "-p", str(self.port), "-h", "127.0.0.1")
        settings = {
            "unix_socket_directories": "",
            "max_connections": str(_MAX_CONNECTIONS),
            "logging_collector": "off",
            # Without DETAIL, which quotes the row that broke a rule: a name and a phone.
            "log_error_verbosity": "terse",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command = unprivileged.command(data, *words, *options)
        return (
            Program(
                "postgres", command, Group.SERVERS, Stage.SERVERS, folder=data, stop_signal="INT"
            ),
        )

    def is_ready(self) -> bool:
        """Whether it takes connections; makes database and login when it does the first time."""
        try:
            with self._connect("postgres") as connection:
                known = connection.run("SELECT 1 FROM pg_database WHERE datname = :n", n=DATABASE)
                if not known:
                    connection.run(f"CREATE DATABASE {DATABASE}")
                make_login(connection, FUNCTIONS, self._password(FUNCTIONS))
        except (pg8000.exceptions.Error, OSError):
            return False
        return True

    def _connect(self, database: str) -> pg8000.native.Connection:
        return pg8000.native.Connection(
            OWNER,
            host="127.0.0.1",
            port=self.port,
            database=database,
            password=self._password(OWNER),
            timeout=5,
        )

    def _url(self, user: str) -> str:
        return f"postgresql://{user}:{self._password(user)}@127.0.0.1:{self.port}/{DATABASE}"

    def _password(self, user: str) -> str:
        return self.state.password("postgres" if user == OWNER else f"postgres-{user}")

    def _cluster(self) -> Path:
        """The data folder, made at first use: complete, or not there at all."""
        data = self.state.root / "postgres"
        if data.exists():
            unprivileged.give(data)
            return data
        draft = self.state.root / "postgres.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password = draft.parent / "postgres.pw"
        write(password, self._password(OWNER))
        unprivileged.give(draft)
        unprivileged.give(password)
        _initdb(draft, password)
        password.unlink()
        draft.rename(data)
        return data


def make_login(connection: pg8000.native.Connection, name: str, password: str) -> None:
    """A login in the group of the functions; one that exists stays as it is.

    Neither name nor password needs quoting: they are ours.
    """
    known = connection.run(
        "SELECT rolname FROM pg_roles WHERE rolname IN (:name, :group)", name=name, group=GROUP
    )
    if [GROUP] not in known:
        connection.run(f"CREATE ROLE {GROUP} NOLOGIN")
    if [name] not in known:
        connection.run(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE {GROUP}")


def _initdb(data: Path, password: Path) -> None:
    words = (
        *(binary("initdb"), "-D", str(data), "-U", OWNER, f"--pwfile={password}"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"),
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    command = unprivileged.command(data, *words)
    subprocess.run(command, check=True, capture_output=True, env=env, cwd=data)  # noqa: S603


def binary(name: str) -> str:
    """A Postgres program: Debian keeps them off the PATH, a folder a version; the newest counts."""
    found = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(found, key=lambda path: float(path.parts[-3]), default=None)
    return str(newest) if newest else (shutil.which(name) or name)
