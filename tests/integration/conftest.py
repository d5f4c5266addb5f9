"""Fixtures for one component on one real server, with fresh per-process state for each test."""

import asyncio
import contextlib
import gc
import io
import json
import multiprocessing
import os
import sys
import warnings
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import functions_framework
import pika
import pytest
import requests
import structlog
from flask.testing import FlaskClient
from redis import Redis

from leadline import process
from leadline.cli import main
from leadline.messages import topology
from leadline.runtime.concurrency import greenlets
from leadline.runtime.once_per_interval import Interval
from leadline.runtime.postgres import pool
from leadline.runtime.postgres.connection import Session
from leadline.runtime.rabbitmq.publisher import Publisher
from leadline.runtime.telemetry import trace_context
from leadline.settings import settings
from leadline.sync.fields import map_check
from leadline.workqueue.queue import WorkQueue
from tests.conftest import EMPTY_TABLES
from tests.servers import free_port as find_free_port
from tests.servers import postgres_connection
from tests.unit import maps
from tests.unit.conftest import SECRETS

if TYPE_CHECKING:
    from tests.integration.pipeline import Pipeline

FUNCTIONS = Path(__file__).parents[2] / "functions"
Result = TypeVar("Result")
Control = Callable[..., Any]


#: All sessions of Postgres that are in use. A deque, as several threads add to it.
_sessions: deque[weakref.ref[Session]] = deque()


@pytest.fixture(scope="session", autouse=True)
def _sessions_are_noted() -> Iterator[None]:
    """Sessions add themselves to `_sessions`."""
    connect = Session.__init__

    def note(self: Session, *args: Any, **options: Any) -> None:
        _sessions.append(weakref.ref(self))
        connect(self, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "__init__", note)
        yield


@pytest.fixture(scope="module", autouse=True)
def _objects_of_earlier_tests_are_not_visited() -> None:
    """Keep `new_process`, which collects garbage after each test, from visiting all of them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No addresses and empty caches, as in a process that has just started."""
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    _begin_trace()
    with process.fresh() as own_process:
        yield
        for held in own_process.objects():
            if isinstance(held, Publisher):
                held.close(timeout_s=0.5)
    # Other threads, such as the outbox's, also hold connections, and Python warns about open ones.
    for _ in range(len(_sessions)):
        reference = _sessions.popleft()
        if (session := reference()) is not None:
            # One without a socket is about to connect, in its thread: closed after the next test.
            _sessions.append(reference)
            with contextlib.suppress(AttributeError):
                session.close()
            del session
    del own_process
    with warnings.catch_warnings():
        # pika leaves the socket of an unfinished connection to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        _begin_trace()
        gc.collect()


@pytest.fixture
def in_postgres(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """This process uses an empty, migrated database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return database_url


@pytest.fixture
def in_rabbitmq(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """This process publishes to a real broker."""
    monkeypatch.setenv("AMQP_URL", amqp_url)
    return amqp_url


@pytest.fixture
def in_redis(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """This process uses an empty Redis."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    with Redis.from_url(redis_url) as client:
        WorkQueue(client, "main").begin_first_epoch()
    return redis_url


@pytest.fixture
def servers(in_postgres: str, in_redis: str, in_rabbitmq: str) -> None:
    """Postgres, Redis and RabbitMQ."""
    assert all((in_postgres, in_redis, in_rabbitmq))


@pytest.fixture
def connected(
    servers: None, webhook_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All servers and the portal, without keys and limits."""
    from tests.integration.pipeline import configure  # noqa: PLC0415 - it imports this module

    assert servers is None
    configure(monkeypatch, webhook_url, tmp_path)


@pytest.fixture
def pipeline(amqp_url: str) -> Iterator["Pipeline"]:
    """The pipeline from relay to reply, run step by step by the test."""
    from tests.integration.pipeline import Pipeline  # noqa: PLC0415 - as above

    parameters = pika.URLParameters(amqp_url)
    # No heartbeats: the connection answers none while the test does something else.
    parameters.heartbeat = 0
    with pika.BlockingConnection(parameters) as connection:
        yield Pipeline(connection.channel())


@pytest.fixture
def all_queues(amqp_url: str) -> None:
    """Declare all queues of the system."""
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        for queue in topology.all_queues():
            channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)


@pytest.fixture
def settle(pipeline: "Pipeline") -> Callable[[], None]:
    """Deliver messages and run jobs until every write is settled."""
    return pipeline.settle


@pytest.fixture
def field_map(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Gives the process a field map, from its TOML text."""

    def set_settings(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"LEADLINE_{name.upper()}", value)
        process.forget(settings)

    def use(text: str) -> None:
        maps.use(set_settings, tmp_path, text)

    return use


@pytest.fixture
def check_fields(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has the relay check the field map against the portal, however recent its last check is."""

    def refresh() -> None:
        monkeypatch.setattr(map_check, "_runs", Interval(0))
        map_check.run()

    return refresh


def refill_after_analyze(url: str, fill: Callable[[], None]) -> None:
    """Fill tables of which Postgres believes that they are empty; `url`: the owner's.

    It then plans as if each table had one row: for example, it runs a subquery for each row.
    """
    fill()
    with postgres_connection(url) as owner:
        owner.run(EMPTY_TABLES)
        owner.run("ANALYZE")
    fill()


def skip_clock_tolerance(queue: WorkQueue) -> None:
    """Skip the first ten seconds of Redis' epoch, in which clocks may differ."""
    began_ms = queue.ensure_redis_epoch() - 10_000
    queue._redis.hset(f"{queue.prefix}memory", "born", str(began_ms))  # noqa: SLF001


@pytest.fixture
def control(portal: str) -> Control:
    """The emulator's control API."""

    def call(path: str, method: str = "GET", body: object = None) -> Any:
        answer = requests.request(method, f"{portal}/_emulator/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    return call


@pytest.fixture
def fork_history(in_postgres: str, _postgres_urls: tuple[str, str]) -> Callable[[], None]:
    """Makes Postgres look as after a failover that lost its newest writes."""
    assert in_postgres

    def change_fingerprint() -> None:
        with postgres_connection(_postgres_urls[0]) as connection:
            connection.run("UPDATE installation SET fingerprint = 'another timeline'")

    return change_fingerprint


@dataclass(frozen=True)
class CommandOutput:
    """A command's output and exit code."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        """The output, parsed as JSON."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Each line of the output, parsed as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def leadline(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Iterator[Callable[..., CommandOutput]]:
    """The command line as in its own process, such as `leadline("status", "--json")`.

    `typed`: the answer of an operator at a terminal; without it there is no terminal.
    """

    def run(*words: object, typed: str | None = None) -> CommandOutput:
        monkeypatch.setattr(sys, "argv", ["leadline", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed or ""))
        for stream in (sys.stdin, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: typed is not None, raising=False)
        capsysbinary.readouterr()
        code: object = 0
        try:
            main.main()
        except SystemExit as end:
            code = end.code
        out, err = capsysbinary.readouterr()
        return CommandOutput(int(str(code or 0)), out, err.decode())

    # Threads of the test may log while a command begins: not into its output.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(io.StringIO()))
    yield run
    structlog.reset_defaults()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Finds a port on which nothing listens."""
    return find_free_port


class GreenletDatabase(pool.Database):
    """A database whose statements run in greenlets."""

    def run(self, sql: str, **params: object) -> list[pool.Row]:
        """Execute a statement like `Database.run`, in a greenlet."""
        return asyncio.run(greenlets.spawn(lambda: pool.Database.run(self, sql, **params)))


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each statement has run."""
    counted: Counter[str] = Counter()
    run = pool.Database.run

    def count_statements(self: pool.Database, sql: str, **params: object) -> list[pool.Row]:
        counted[sql] += 1
        return run(self, sql, **params)

    monkeypatch.setattr(pool.Database, "run", count_statements)
    return counted


def in_greenlets(times: int, work: Callable[[int], Result]) -> list[Result]:
    """The results of `work(0)`, `work(1)`, … run in concurrent greenlets, as in a function."""

    async def all_of_them() -> list[Result]:
        return await asyncio.gather(
            *(greenlets.spawn(partial(work, number)) for number in range(times))
        )

    return asyncio.run(all_of_them())


def in_threads(times: int, work: Callable[[int], Result]) -> list[Result]:
    """The results of `work(0)`, `work(1)`, … run in concurrent threads."""
    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(work, range(times)))


def in_processes(times: int, work: Callable[[int], Result]) -> list[Result]:
    """The results of `work(0)`, `work(1)`, … run in concurrent processes; `work` is pickled."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once, not in each process
    # The server that forks them keeps the environment of the first call.
    variables = dict(os.environ)
    with ProcessPoolExecutor(times, context, _use_environment, (variables,)) as processes:
        return list(processes.map(work, range(times)))


def _use_environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


def close_idle_connections() -> None:
    """Close the idle connections to Postgres; the next one uses the current settings."""
    for held in process.current().objects():
        if isinstance(held, pool.Database):
            held.close()


def function_client(function: str) -> FlaskClient:
    """A test client of this function, in this process."""
    source = FUNCTIONS / function / "main.py"
    app: Any = functions_framework.create_app(function, str(source), "http")  # type: ignore[no-untyped-call]
    # The framework sets these, and processes of later tests would inherit them.
    for name in ("FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE"):
        os.environ.pop(name, None)
    client: FlaskClient = app.test_client()
    return client


def rows(query: str, **params: Any) -> list[dict[str, Any]]:
    """The rows that a query returns from this process's database."""
    return pool.database().run(query, **params)


def execute(statement: str, **params: Any) -> None:
    """Run a statement that changes the data of this process's database."""
    pool.database().run(statement, **params)


@contextmanager
def holding(url: str, statement: str) -> Iterator[None]:
    """Keep the locks of this statement, in another transaction, until the block ends."""
    with postgres_connection(url) as other:
        other.run("BEGIN")
        other.run(statement)
        yield
        other.run("COMMIT")


def is_a_statement_waiting() -> bool:
    """Whether a statement waits for a lock of another."""
    return bool(rows("SELECT FROM pg_locks WHERE NOT granted"))


def _begin_trace() -> None:
    trace_context._current.set(None)  # noqa: SLF001 - as in a new thread
    trace_context.set_caller("")
