"""A private Postgres: SCRAM passwords, fsync on, an owner and restricted logins."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pg8000.exceptions
import pg8000.native

from local.logins import postgres as logins
from local.logins.table import LOGINS, OWNER, Login, by_name
from local.runner.processes import unprivileged
from local.runner.processes.program import Group, Program, StartPhase
from local.runner.state import State, write

DATABASE = "leadline"
_MAX_CONNECTIONS = 200


@dataclass(frozen=True)
class Postgres:
    """One cluster in the state folder, on one loopback port."""

    state: State
    port: int

    @property
    def url(self) -> str:
        """The URL of the owner, for migrations."""
        return self._url(OWNER, self.state.password("postgres"))

    @property
    def functions_url(self) -> str:
        """A URL with the rights of every function."""
        return self.url_of(by_name("cli"))

    def url_of(self, login: Login) -> str:
        """The URL of this login."""
        return self._url(login.user, self._password(login))

    def programs(self) -> tuple[Program, ...]:
        """The postmaster; SIGINT is its fast shutdown, which does not wait for clients."""
        data = self._cluster()
        words = (binary("postgres"), "-D", str(data), "-p", str(self.port), "-h", "127.0.0.1")
        settings = {
            "unix_socket_directories": "",
            "max_connections": str(_MAX_CONNECTIONS),
            "logging_collector": "off",
            # Without DETAIL, which quotes the row that violates a constraint: a name and a phone.
            "log_error_verbosity": "terse",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command = unprivileged.command(data, *words, *options)
        return (
            Program(
                "postgres",
                command,
                Group.SERVERS,
                StartPhase.SERVERS,
                folder=data,
                stop_signal="INT",
            ),
        )

    def make_ready(self) -> bool:
        """Create the missing database and logins; returns whether it accepts connections."""
        try:
            with self._connect("postgres") as connection:
                databases = connection.run(
                    "SELECT 1 FROM pg_database WHERE datname = :n", n=DATABASE
                )
                if not databases:
                    connection.run(f"CREATE DATABASE {DATABASE}")
                self._create_logins(connection)
        except (pg8000.exceptions.Error, OSError):
            return False
        return True

    def _create_logins(self, connection: pg8000.native.Connection) -> None:
        """Create missing logins; none on a standby, which has them all and is read-only."""
        users = {login.user for login in LOGINS if login.groups is not None}
        roles = {name for (name,) in connection.run("SELECT rolname FROM pg_roles")}
        if users <= roles:
            return
        passwords = {login.name: self._password(login) for login in LOGINS}
        for statement in logins.statements(passwords):
            connection.run(statement)

    def _connect(self, database: str) -> pg8000.native.Connection:
        return pg8000.native.Connection(
            OWNER,
            host="127.0.0.1",
            port=self.port,
            database=database,
            password=self.state.password("postgres"),
            timeout=5,
            ssl_context=False,
        )

    def _url(self, user: str, password: str) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{DATABASE}"

    def _password(self, login: Login) -> str:
        return self.state.password(f"postgres-{login.name}")

    def _cluster(self) -> Path:
        """The data folder, created at first use: complete, or absent."""
        data = self.state.root / "postgres"
        if data.exists():
            unprivileged.give_ownership(data)
            return data
        draft = self.state.root / "postgres.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password = draft.parent / "postgres.pw"
        write(password, self.state.password("postgres"))
        unprivileged.give_ownership(draft)
        unprivileged.give_ownership(password)
        _initdb(draft, password)
        password.unlink()
        draft.rename(data)
        return data


def _initdb(data: Path, password: Path) -> None:
    words = (
        *(binary("initdb"), "-D", str(data), "-U", OWNER, f"--pwfile={password}"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"),
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    command = unprivileged.command(data, *words)
    subprocess.run(command, check=True, capture_output=True, env=env, cwd=data)  # noqa: S603


def binary(name: str) -> str:
    """A Postgres program: the newest version of Debian's, which are off the PATH."""
    candidates = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(candidates, key=lambda path: float(path.parts[-3]), default=None)
    return str(newest) if newest else (shutil.which(name) or name)
