"""Postgres and a standby; `PostgresPair` does what a failover manager such as Patroni does."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pg8000.exceptions
import pg8000.native

from local.logins.table import OWNER
from local.runner.processes import unprivileged
from local.runner.processes.program import Program
from local.runner.servers.postgres import DATABASE, Postgres, binary
from local.sandbox.waiting import eventually
from tests.clusters.network import SUBNET, Network, inside
from tests.clusters.node import Node, state_in
from tests.faults.bench_parts import clock_ahead

_PORT = 5432
#: How long the manager waits for a silent server before it acts.
PATIENCE_S = 2.0
_OPTIONS = (
    *("-c", "wal_sender_timeout=5s"),
    *("-c", "wal_receiver_timeout=5s"),
    *("-c", "wal_retrieve_retry_interval=500ms"),
    *("-c", "wal_keep_size=512MB"),
)
_STREAMS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
#: Databases of pg_hba.conf: "all" does not include connections for replication.
_DATABASES = ("all", "replication")


@dataclass(frozen=True)
class Member(Postgres):
    """Primary or standby; accepts replication and clients from the network."""

    #: How far this server's clock is ahead of the machine's.
    ahead_s: int = 0

    def programs(self) -> tuple[Program, ...]:
        """The postmaster."""
        (program,) = super().programs()
        command = tuple("*" if word == "127.0.0.1" else word for word in program.command)
        rules = self.state.root / "postgres" / "pg_hba.conf"
        text = rules.read_text(encoding="utf-8")
        if SUBNET not in text:
            lines = (f"host {name} all {SUBNET}.0/24 scram-sha-256" for name in _DATABASES)
            rules.write_text("\n".join((text, *lines, "")), encoding="utf-8")
        return (replace(program, command=(*self._with_own_clock(command), *_OPTIONS)),)

    def _with_own_clock(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """The command with its clock set ahead.

        `env` comes after the change of user, which ends with "--": faketime's shared files then
        belong to that user.
        """
        if not self.ahead_s:
            return command
        begin = command.index("--") + 1
        variables = (f"{name}={value}" for name, value in clock_ahead(self.ahead_s).items())
        return (*command[:begin], "env", *variables, *command[begin:])


class PostgresPair:
    """The primary and its standby.

    `is_synchronous`: the primary acknowledges only what its standby has, while it has one.
    `standby_ahead_s`: how far the clock of the second node, the first standby, is ahead.
    """

    def __init__(
        self,
        network: Network,
        folder: Path,
        passwords: Path,
        *,
        is_synchronous: bool,
        standby_ahead_s: int = 0,
    ) -> None:
        self.nodes = [Node(network, f"postgres-{number}") for number in (1, 2)]
        self.network, self.is_synchronous = network, is_synchronous
        for node, ahead_s in zip(self.nodes, (0, standby_ahead_s), strict=True):
            state = state_in(folder / node.name, passwords)
            node.place(Member(state, _PORT, ahead_s), state)
        self._password = state.password("postgres")
        self.primary, self.standby = self.nodes
        #: Held from a fault's beginning to the end of its repair. On a busy machine a repair may
        #: last until the next fault is due: that one would break a server for which it waits.
        self.one_fault = threading.RLock()

    @property
    def url(self) -> str:
        """The URL for clients, with both servers."""
        hosts = ",".join(node.address for node in self.nodes)
        return (
            f"postgresql://{OWNER}:{self._password}@{hosts}/{DATABASE}"
            "?target_session_attrs=read-write"
        )

    def start(self) -> None:
        """Start the primary, copy it, start the standby."""
        self.primary.start()
        self._rebuild_standby()

    def promote(self) -> None:
        """Promote the standby; the former primary is not touched, even if it still runs."""
        with self._session(self.standby) as session:
            session.run("ALTER SYSTEM RESET synchronous_standby_names")
            session.run("SELECT pg_reload_conf()")
            session.run("SELECT pg_promote(true, 30)")
        self.primary, self.standby = self.standby, self.primary

    def commit_without_standby(self) -> None:
        """Let the primary commit without waiting for its standby."""
        self._set_synchronous(is_on=False)

    def repair(self) -> frozenset[tuple[int, int]]:
        """End every fault: the former primary, or a standby left behind, follows the primary.

        Returns user and version of the events that only the former primary had.
        """
        with self.one_fault:
            return self._repair()

    def _repair(self) -> frozenset[tuple[int, int]]:
        if self.is_healthy():
            # The fault may have been a lossy or slow link, which still exists.
            for node in self.nodes:
                node.heal()
            return frozenset()
        self.primary.repair()
        if not self._is_former_primary(self.standby):
            self.standby.repair()
            self._await_standby()
            return frozenset()
        lost = self._only_in_former_primary()
        self.standby.heal()
        self._rebuild_standby()
        return lost

    def _only_in_former_primary(self) -> frozenset[tuple[int, int]]:
        """User and version of the events that the former primary alone has.

        To read them, it is started without a network, and killed again; it stays cut off.
        """
        self.standby.kill()
        self.network.cut(self.standby.name)
        self.standby.start()
        sql = "SELECT id, user_id, version FROM events"
        former = self.rows_of(self.standby, sql)
        self.standby.kill()
        surviving_ids = {row["id"] for row in self.rows(sql)}
        return frozenset(
            (row["user_id"], row["version"]) for row in former if row["id"] not in surviving_ids
        )

    def is_healthy(self) -> bool:
        """Whether the standby follows the primary, and the primary waits for it as configured."""
        with suppress(pg8000.exceptions.Error, OSError), self._session(self.primary) as session:
            streams = session.run(_STREAMS) == [[1]]
            waits = session.run("SHOW synchronous_standby_names") != [[""]]
            return streams and waits is self.is_synchronous
        return False

    def rows(self, sql: str, **params: object) -> list[dict[str, Any]]:
        """The rows that a statement returns on the primary."""
        return self.rows_of(self.primary, sql, **params)

    def rows_of(self, node: Node, sql: str, **params: object) -> list[dict[str, Any]]:
        """The rows that a statement returns on this node, also if it is cut off."""
        with self._session(node, DATABASE) as session:
            rows = session.run(sql, **params) or []
            names = [column["name"] for column in session.columns or []]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _is_former_primary(self, node: Node) -> bool:
        return node is not self.primary and not (_data(node) / "standby.signal").exists()

    def _rebuild_standby(self) -> None:
        data = _data(self.standby)
        copy = data.with_name("postgres.copy")
        for folder in (data, copy):
            shutil.rmtree(folder, ignore_errors=True)
        copy.mkdir(mode=0o700)
        unprivileged.give_ownership(copy)
        source = f"host={self.primary.address} port={_PORT} user={OWNER} password={self._password}"
        # fetch: on a busy machine a stream of WAL exceeds wal_sender_timeout.
        options = ("-R", "-X", "fetch", "-c", "fast", "-D", str(copy), "-d", source)
        command = unprivileged.command(copy, binary("pg_basebackup"), *options)
        with inside(self.standby.name):
            subprocess.run(command, check=True, timeout=60, cwd=copy)
        shutil.move(copy, data)
        self.standby.start()
        self._await_standby()

    def _await_standby(self) -> None:
        def streams() -> bool:
            with self._session(self.primary) as session:
                return bool(session.run(_STREAMS) == [[1]])

        eventually(streams, 60, "the standby follows the primary")
        self._set_synchronous(is_on=self.is_synchronous)

    def _set_synchronous(self, *, is_on: bool) -> None:
        names = "*" if is_on else ""
        with self._session(self.primary) as session:
            session.run(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
            session.run("SELECT pg_reload_conf()")
        expected = [[names]]

        def is_configured() -> bool:
            with self._session(self.primary) as session:
                return bool(session.run("SHOW synchronous_standby_names") == expected)

        eventually(is_configured, 60, "the primary has read its configuration")

    @contextmanager
    def _session(
        self, node: Node, database: str = "postgres"
    ) -> Iterator[pg8000.native.Connection]:
        with (
            inside(node.name),
            pg8000.native.Connection(
                OWNER,
                host="127.0.0.1",
                port=_PORT,
                database=database,
                password=self._password,
                timeout=20,
                ssl_context=False,
            ) as session,
        ):
            yield session


def _data(node: Node) -> Path:
    return node.servers[0].state.root / "postgres"
