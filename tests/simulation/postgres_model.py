"""Postgres: the real server and our real statements, with a simulated clock, losses and forks.

`now()` is a function of the simulation's schema, first in the search path. It reads a file: setting
the clock by a statement would cost as much as the statement itself. Each statement is one step;
those of several processes follow one another.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pg8000.native

from leadline.errors import DatabaseDown
from leadline.runtime.postgres.pool import Database
from local.runner.processes import unprivileged
from local.runner.servers.postgres import binary
from local.sandbox.servers import free_port
from local.sandbox.waiting import eventually
from tests.simulation.world import EPOCH, World

#: The time between two copies of all rows, where data may be lost.
COPY_EVERY_S = 0.4
#: A copy is made before each of these statements, too.
COPY_BEFORE = {"create", "create_once", "change", "change_skip_locked", "change_once", "settle"}
#: How many copies are kept, each in a schema of its own.
COPIES = 6
#: The schema with the state after the migrations.
_INITIAL = f"copy{COPIES}"
#: The file in the cluster's folder with the state that these functions return: the time, the
#: position in the log and the fingerprint.
_STATE = "simulated_state"
#: Functions about the database itself, found before Postgres' own.
_OWN = (
    f"""
    CREATE FUNCTION sim.state(part integer) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT split_part(pg_read_file('{_STATE}'), ' ', part) $$
    """,
    """
    CREATE FUNCTION sim.now() RETURNS timestamptz LANGUAGE sql STABLE AS
    $$ SELECT to_timestamp(CAST(sim.state(1) AS float8)) $$
    """,
    """
    CREATE FUNCTION sim.pg_current_wal_flush_lsn() RETURNS pg_lsn LANGUAGE sql STABLE AS
    $$ SELECT CAST('0/0' AS pg_lsn) + CAST(sim.state(2) AS numeric) $$
    """,
)
_FINGERPRINT = """
CREATE OR REPLACE FUNCTION sim.leadline_fingerprint() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT sim.state(3) $$
"""
#: Reads the migrations' functions that use the clock. Those that set their own search path would
#: find Postgres' own clock first.
_CLOCKED = """
SELECT pg_get_functiondef(oid) FROM pg_proc
WHERE pronamespace = 'sim'::regnamespace AND prosrc LIKE '%clock_timestamp()%'
"""
ORIGINATOR = "simulated"


def start(folder: Path, cluster: Path | None = None) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server without durability on a copy of this cluster, by default on an empty one.

    Returns its process and its port.
    """
    data = folder / "postgres"
    if cluster:
        shutil.copytree(cluster, data)
        unprivileged.give_ownership(data)
        return _start_on_free_port(data)
    _create_cluster(data)
    (data / _STATE).write_bytes(_state(0.0, 0, 0))
    server, port = _start_on_free_port(data)
    with _connected(port, "postgres") as admin:
        admin.run("CREATE DATABASE sim")
        # Column defaults bind to the function when tables are created.
        admin.run("ALTER DATABASE sim SET search_path = sim, public, pg_catalog")
    with _connected(port) as connection:
        connection.run("CREATE SCHEMA sim")
        for function in _OWN:
            connection.run(function)
    return server, port


def url(port: int) -> str:
    """The URL of the database of the server on this port."""
    return f"postgresql://sim@127.0.0.1:{port}/sim"


def _start_on_free_port(data: Path) -> tuple[subprocess.Popen[bytes], int]:
    for _ in range(10):
        port = free_port()
        server = _launch(data, port)
        # Another process may have taken the port meanwhile: then the server has ended.
        if server.poll() is None:
            return server, port
    raise ChildProcessError("Postgres does not start")


def _launch(data: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the server, and wait until it accepts connections or has ended."""
    settings = {
        "unix_socket_directories": "",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "autovacuum": "off",
        "shared_buffers": "32MB",
        "max_connections": "10",
        "jit": "off",
    }
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    command = unprivileged.command(
        data, binary("postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", *options
    )
    # The command may begin with setpriv, whose options are then continued.
    rest = command[1:] if command[0] == (shutil.which("setpriv") or "setpriv") else ("--", *command)
    server = subprocess.Popen(
        ("setpriv", "--pdeathsig", "INT", *rest),  # noqa: S607 - found on the PATH
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=data,
    )
    eventually(
        lambda: server.poll() is not None or _accepts_connections(data), 60, "Postgres starts"
    )
    return server


def _accepts_connections(data: Path) -> bool:
    """Whether the server of this folder accepts connections: its pid file ends with its state."""
    try:
        return (data / "postmaster.pid").read_text(encoding="utf-8").split()[-1:] == ["ready"]
    except FileNotFoundError:
        return False


def _create_cluster(data: Path) -> None:
    data.mkdir(parents=True)
    unprivileged.give_ownership(data)
    subprocess.run(
        unprivileged.command(
            data,
            *(binary("initdb"), "-D", str(data), "-U", "sim", "--auth=trust", "--no-sync"),
            *("--encoding=UTF8", "--locale=C.UTF-8"),
        ),
        check=True,
        capture_output=True,
        cwd=data,
    )


def _state(now: float, written: int, forks: int) -> bytes:
    """The content of the file of the simulated state, of constant length."""
    return f"{now:.6f} {written} {forks} ".ljust(60).encode()


def _connected(port: int, database: str = "sim") -> pg8000.native.Connection:
    return pg8000.native.Connection(
        "sim", host="127.0.0.1", port=port, database=database, ssl_context=False
    )


class Store:
    """The real database of a process, used by one history after the other."""

    def __init__(self, port: int, data: Path) -> None:
        """`data`: the cluster's folder."""
        self.database = Database(url(port))
        self._state = (data / _STATE).open("r+b", buffering=0)
        self.admin = _connected(port)
        # Copying rows fires no triggers, and their order breaks no foreign keys.
        self.admin.run("SET session_replication_role = replica")
        self.tables = [
            str(name)
            for (name,) in self.admin.run(
                "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'sim'"
                " AND tablename <> 'alembic_version' ORDER BY 1"
            )
        ]
        self.sequences = [
            str(name)
            for (name,) in self.admin.run(
                "SELECT quote_ident(sequencename) FROM pg_sequences WHERE schemaname = 'sim'"
                " ORDER BY 1"
            )
        ]
        self._make_deterministic()
        self._make_copies()
        self._copy("sim", _INITIAL)
        self._histories = 0

    def _make_deterministic(self) -> None:
        """Replace values that migrations took from the clock or at random by constants."""
        for (definition,) in self.admin.run(_CLOCKED):
            self.admin.run(definition.replace("clock_timestamp()", "sim.now()"))
        if "installation" in self.tables:
            self.admin.run(_FINGERPRINT)
            self.admin.run(
                "UPDATE installation SET originator_id = :originator, history = :history,"
                " fingerprint = '0'",
                originator=ORIGINATOR,
                history=int((EPOCH - 1e6) * 1000),
            )

    def _make_copies(self) -> None:
        for number in range(COPIES + 1):
            self.admin.run(f"CREATE SCHEMA IF NOT EXISTS copy{number}")
            for table in self.tables:
                self.admin.run(
                    f"CREATE TABLE IF NOT EXISTS copy{number}.{table} (LIKE sim.{table})"
                )

    def _copy(self, source: str, target: str) -> None:
        statements = []
        for table in self.tables:
            statements.append(f"DELETE FROM {target}.{table}")  # noqa: S608 - ours
            statements.append(
                f"INSERT INTO {target}.{table} OVERRIDING SYSTEM VALUE"  # noqa: S608 - ours
                f" SELECT * FROM {source}.{table}"
            )
        self.admin.run(";".join(statements))

    def set_state(self, now: float, written: int, forks: int) -> None:
        """Set the clock, the position in the log, and the fingerprint."""
        self._state.seek(0)
        self._state.write(_state(now, written, forks))

    def reset(self) -> None:
        """Restore the state after the migrations."""
        self._histories += 1
        if self._histories % 50 == 1:  # deleted rows take space, as nothing vacuums
            self.admin.run(f"TRUNCATE {', '.join(self.tables)} CASCADE")
        self._copy(_INITIAL, "sim")
        restarts = (f"SELECT setval('sim.{name}', 1, false)" for name in self.sequences)
        self.admin.run(";".join(restarts))

    def lock(self) -> None:
        """Lock all users and events, as concurrent statements would."""
        self.admin.run("BEGIN; SELECT FROM users FOR UPDATE; SELECT FROM events FOR UPDATE")

    def unlock(self) -> None:
        """Release the locks."""
        self.admin.run("ROLLBACK")

    def save(self, number: int) -> list[Any]:
        """Copy all rows; returns the positions of the sequences."""
        self._copy("sim", f"copy{number}")
        return [
            self.admin.run(f"SELECT last_value, is_called FROM sim.{name}")[0]  # noqa: S608 - ours
            for name in self.sequences
        ]

    def load(self, number: int, sequences: list[Any]) -> None:
        """Restore a copy."""
        self._copy(f"copy{number}", "sim")
        for name, (value, is_called) in zip(self.sequences, sequences, strict=True):
            self.admin.run(
                "SELECT setval(CAST(:name AS regclass), :value, :is_called)",
                name=f"sim.{name}",
                value=value,
                is_called=is_called,
            )


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy of all rows: its time, its schema's number, and the state that no row has."""

    at: float
    number: int
    sequences: list[Any]
    written: int


class PostgresModel:
    """One simulated Postgres of one history."""

    def __init__(self, world: World, store: Store, names: dict[str, str]) -> None:
        self._world = world
        self._store = store
        self._names = names
        self.ahead_s = 0.0
        self.is_away = False
        #: Incremented each time all connections break.
        self.breaks = 0
        #: The position in the log of the database, and how often it has forked.
        self._written = 0
        self._forks = 0
        self._copies: list[_Copy] = []
        #: Whether the next statement that skips locked rows finds all of them locked.
        self.lock_next = False
        #: Whether the latest data may be lost: then it is copied from time to time.
        self.may_lose = False
        store.reset()

    def run(self, sql: str, **params: object) -> list[dict[str, Any]]:
        """Execute a statement, as `Database.run` does."""
        world, process = self._world, self._world.process
        name = self._names.get(sql) or "statement"
        world.moment(f"sql {name} asked")
        world.moment("sql asked")
        breaks = self.breaks
        world.wait(process.random.uniform(0.0005, 0.003))
        self._check(breaks)
        self._copy(name)
        is_locked = self.lock_next and "SKIP LOCKED" in sql
        if is_locked:
            self.lock_next = False
            self._store.lock()
        try:
            rows = self.run_now(sql, **params)
        finally:
            if is_locked:
                self._store.unlock()
            world.moment(f"sql {name} done")
            world.moment("sql done")
            world.wait(process.random.uniform(0.0005, 0.003))
        self._check(breaks)
        return rows

    def run_now(self, sql: str, **params: object) -> list[dict[str, Any]]:
        """Execute a statement at once: no virtual time passes."""
        self._written += 1
        self._store.set_state(self._world.now + self.ahead_s, self._written, self._forks)
        rows = self._store.database.run(sql, **params)
        if len(rows) > 1 and " ORDER BY " not in sql:
            rows.sort(key=repr)  # any order is right, as long as it is always the same
        return rows

    def _check(self, breaks: int) -> None:
        """Fail if the connection has broken since `breaks` was read."""
        if self.is_away or breaks != self.breaks:
            self._world.wait(0.01)
            raise DatabaseDown

    def go_away(self, seconds: float) -> None:
        """Make Postgres unreachable for a while; statements in progress are cut off."""
        self.is_away = True
        self.breaks += 1
        self._world.after(seconds, self._come_back)

    def _come_back(self) -> None:
        self.is_away = False

    def fork(self, lose_s: float, choice: int) -> float:
        """Continue as a replica that lagged by up to this; returns how much was lost."""
        after = [copy for copy in self._copies if copy.at >= self._world.now - lose_s]
        self.breaks += 1
        self._forks += 1
        if not after:
            return 0.0
        found = after[choice % len(after)]
        self._store.load(found.number, found.sequences)
        self._written = found.written
        return self._world.now - found.at

    def events(self) -> set[tuple[int, int]]:
        """User and version of all events in the ledger."""
        rows = self._store.admin.run("SELECT user_id, version FROM events")
        return {(user, version) for user, version in rows}

    def _copy(self, name: str) -> None:
        """Copy the current rows before the next statement, from time to time."""
        now = self._world.now
        is_fresh = self._copies and now < self._copies[-1].at + COPY_EVERY_S
        if not self.may_lose or (is_fresh and name not in COPY_BEFORE):
            return
        number = self._copies.pop(0).number if len(self._copies) == COPIES else len(self._copies)
        sequences = self._store.save(number)
        self._copies.append(_Copy(now, number, sequences, self._written))

    def due_at(self) -> float:
        """When the relay next has something to do, in the world's time."""
        if self._forks and self._is_unaware():
            return self._world.now
        (row,) = self.run_now(
            "SELECT CAST(extract(epoch FROM min(due_at)) AS float) AS due FROM events"
        )
        return float("inf") if row["due"] is None else float(row["due"]) - self.ahead_s

    def _is_unaware(self) -> bool:
        """Whether the relay has yet to notice a fork, or to resync users after it."""
        if "installation" not in self._store.tables:
            return False
        (row,) = self.run_now("SELECT fingerprint, swept_to < sweep_to AS sweeps FROM installation")
        return bool(row["fingerprint"] != str(self._forks) or row["sweeps"])
