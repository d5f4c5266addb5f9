"""Real servers for all tests: private ones, or those that DATABASE_URL and similar variables name.

`postgres`, `rabbitmq`, `redis_server` and `emulator` start once, on first use. A test takes
`database_url`, `amqp_url`, `redis_url` or `webhook_url` to get the same server, emptied.
"""

import gc
import os
import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
import redis
import requests
import sqlalchemy
import structlog
from hypothesis import HealthCheck, settings

from leadline.messages import topology
from local.runner.servers.postgres import Postgres
from tests.forks import Forks
from tests.leaks import leaking, log_lines
from tests.servers import PrivateServer, postgres_connection, private

CHECKOUT = Path(__file__).parents[1]

#: On SIGABRT a process prints the stacks of its threads.
os.environ.setdefault("PYTHONFAULTHANDLER", "1")

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # Each process of the test run chooses its ports from its own range.
    width = 12_000 // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    begin = 20_000 + int(worker.removeprefix("gw")) * width
    os.environ["PORT_RANGE"] = f"{begin}-{begin + width}"

# A busy machine may be slow at any example; benchmarks judge timings. A whole run, which judges a
# change, takes the same examples each time; a run of some tests looks for new ones.
settings.register_profile(
    "leadline",
    deadline=None,
    derandomize=bool(worker),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("leadline")


@contextmanager
def _running(name: str, folder: Path) -> Iterator[PrivateServer]:
    """A private server; afterwards, checks that its logs contain no personal data."""
    server = private(name, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
    if name == "bitrix24":
        return  # the emulator prints its webhook when it starts, which would count as a leak
    logs = "".join(path.read_text("utf-8", "replace") for path in server.state.logs.iterdir())
    leaks = leaking(logs.splitlines())
    assert not leaks, leaks[:5]


#: Groups that take a minute or more. They start first: begun late, one of them would keep a single
#: process busy while the others have nothing left to do.
LONGEST = (
    "api and flows",
    "operations",
    "tests/simulation/test_simulation.py",
    "faults",
    "tests/integration/test_repair.py",
    "tests/integration/test_connector.py",
    "tests/integration/test_serve.py",
    "tests/e2e/test_flow_settings.py",
    "life of a system",
    "tests/e2e/test_run_keys.py",
    "tests/e2e/test_flow_versions.py",
    "tests/unit/test_model.py",
)


#: Folders whose tests share a running system, and the files in them that start their own.
_SHARING = ("tests/containers/", "tests/e2e/", "tests/faults/")
_OWN_SYSTEMS = re.compile(
    r"tests/(e2e/test_(run_keys|flow_settings|flow_versions)|containers/test_canaries)\.py"
)
#: Tests of one more system, which the first file starts and the second ends.
_LIFE = ("tests/e2e/test_tutorial.py", "tests/e2e/test_run_ends.py")


def pytest_configure(config: pytest.Config) -> None:
    """Have each process of a whole run begin its imports at a different test file.

    pytest caches the compiled files: processes that begin at different files compile a part each,
    and find the others in the cache.
    """
    if worker and config.args == config.getini("testpaths"):
        files = sorted(str(path) for path in (CHECKOUT / "tests").glob("**/test_*.py"))
        number = int(worker.removeprefix("gw"))
        processes = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        begin = len(files) * number // processes
        config.args = files[begin:] + files[:begin]


def pytest_collection_finish() -> None:
    """Exempt imported objects from garbage collection, which would visit all of them each time."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest groups first, all others in the order of their files."""
    places = {name: index for index, name in enumerate(LONGEST)}

    def place(item: pytest.Item) -> tuple[int, bool, Path]:
        return (
            places.get(_group(item.nodeid), len(LONGEST)),
            item.nodeid.startswith(
                _LIFE[-1]
            ),  # in its group, the file that ends the system is last
            item.path,
        )

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process whole groups of tests.

    https://pytest-xdist.readthedocs.io/en/stable/distribution.html
    """
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - a test alone needs no xdist

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return ByGroup(config, log)


def _group(nodeid: str) -> str:
    """The test's file; tests that share a system form one group, as each system costs CPU."""
    file = nodeid.split("::", maxsplit=1)[0]
    if not file.startswith(_SHARING) or _OWN_SYSTEMS.fullmatch(file):
        return file
    if not file.startswith("tests/e2e/"):
        return file.split("/")[1]
    if file in _LIFE:
        return "life of a system"
    is_flow = file.startswith(("tests/e2e/test_api_", "tests/e2e/test_flow_"))
    return "api and flows" if is_flow else "operations"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test whose log lines contain personal data or a webhook."""
    report = yield
    if call.when == "teardown" and report.passed:
        output = "\n".join(text for _, text in report.sections)
        if leaks := leaking(log_lines(output)):
            report.outcome = "failed"
            report.longrepr = "\n".join([f"{item.nodeid} has logged:", *leaks[:5]])
    return report


#: Seconds beyond which a test must say why it takes them: `@pytest.mark.slow("the reason")`.
SLOW_S = 5.0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the slow tests that give no reason."""
    passed = [report for report in terminalreporter.getreports("passed") if report.when == "call"]
    slow = [
        report for report in passed if report.duration > SLOW_S and "slow" not in report.keywords
    ]
    if slow:
        terminalreporter.section(f"over {SLOW_S:g} s without a reason")
    for report in sorted(slow, key=lambda report: -report.duration):
        terminalreporter.write_line(f"{report.duration:6.1f} s  {report.nodeid}")


@pytest.fixture(scope="session", autouse=True)
def _loggers_look_up_their_configuration() -> Iterator[None]:
    """A logger that keeps its first configuration would hide its lines from `capture_logs()`."""
    configure = structlog.configure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            structlog,
            "configure",
            lambda **chosen: configure(**chosen | {"cache_logger_on_first_use": False}),
        )
        yield


@pytest.fixture(scope="session")
def _postgres_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URLs of a migrated database: its owner's, and the one that functions use."""
    if url_of_env := os.environ.get("DATABASE_URL"):
        with _own_database(url_of_env) as url:
            _migrate(url)
            yield url, url
        return
    with _running("postgres", tmp_path_factory.mktemp("postgres")) as server:
        _migrate(server.url)
        postgres_server = server.server
        assert isinstance(postgres_server, Postgres)
        yield postgres_server.url, postgres_server.functions_url


@pytest.fixture
def functions_login(_postgres_urls: tuple[str, str]) -> str:
    """The login of functions, which may do less than the owner; skips if both are one."""
    owners, functions = _postgres_urls
    if owners == functions:
        pytest.skip("DATABASE_URL is one login")
    return str(urlsplit(functions).username)


@pytest.fixture(scope="session")
def postgres(_postgres_urls: tuple[str, str]) -> str:
    """The URL of a migrated database, as its owner."""
    return _postgres_urls[0]


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a broker."""
    if url_of_env := os.environ.get("AMQP_URL"):
        _check_no_messages(url_of_env)
        yield url_of_env
        return
    with _running("rabbitmq", tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis."""
    if url_of_env := os.environ.get("REDIS_URL"):
        with redis.Redis.from_url(url_of_env) as client:
            assert client.dbsize() == 0, "tests empty the Redis of REDIS_URL, and it holds data"
        yield url_of_env
        return
    with _running("redis", tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Starts processes of Leadline, as `python -m` does, without the CPU time of their imports."""
    with Forks() as running:
        yield running


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an emulated portal; always our own: tests break it on purpose."""
    with _running("bitrix24", tmp_path_factory.mktemp("bitrix24")) as server:
        yield server.url


#: Empties the tables and restarts sequences. TRUNCATE replaces the files of a table and of its
#: indexes, which takes ten times as long as deleting a few rows.
EMPTY_TABLES = """
DO $$
DECLARE
    found record;
    truncated text[] = '{}';
    -- DELETE in any order: only a superuser may skip triggers, and with them foreign keys.
    can_delete boolean = (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
BEGIN
    IF can_delete THEN
        SET LOCAL session_replication_role = replica;
    END IF;
    FOR found IN
        SELECT quote_ident(tablename) AS name,
            pg_relation_size(format('%I.%I', schemaname, tablename)) AS bytes
        FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    LOOP
        CONTINUE WHEN found.bytes = 0;
        -- `installation` has a trigger that makes another installation after TRUNCATE.
        IF can_delete AND found.bytes < 1000000 AND found.name <> 'installation' THEN
            EXECUTE format('DELETE FROM %s', found.name);
        ELSE
            truncated = truncated || found.name;
        END IF;
    END LOOP;
    IF can_delete THEN
        SET LOCAL session_replication_role = origin;
    END IF;
    EXECUTE format('TRUNCATE %s CASCADE', array_to_string(truncated, ', '));
    PERFORM setval(format('%I.%I', schemaname, sequencename), start_value, false)
    FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL;
END $$
"""


@pytest.fixture
def database_url(postgres: str, _postgres_urls: tuple[str, str]) -> str:
    """An empty database with the newest schema, as functions use it; ids start at 1."""
    with postgres_connection(postgres) as connection:
        connection.run(EMPTY_TABLES)
    return _postgres_urls[1]


@pytest.fixture
def amqp_url(rabbitmq: str) -> str:
    """A broker without any of our queues and exchanges."""
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq))
    channel = connection.channel()
    for queue in topology.all_queues():
        channel.queue_delete(queue.name)
        if not queue.is_auxiliary:
            channel.exchange_delete(queue.name)
    connection.close()
    return rabbitmq


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushdb()
    return redis_server


@pytest.fixture
def portal(emulator: str) -> str:
    """The URL of an emulated portal without leads, faults or counted calls."""
    requests.post(f"{emulator}/_emulator/reset", timeout=60).raise_for_status()
    return emulator


@pytest.fixture
def webhook_url(portal: str) -> str:
    """The webhook of an emulated portal without leads, faults or counted calls."""
    return f"{portal}/rest/1/local-webhook-code/"


@contextmanager
def _own_database(url: str) -> Iterator[str]:
    """A separate database on the given server, so that no existing data is deleted."""
    database = sqlalchemy.make_url(url).set(database=f"leadline_test_{os.getpid()}")
    admin = sqlalchemy.create_engine(
        sqlalchemy.make_url(url).set(drivername="postgresql+pg8000"), isolation_level="AUTOCOMMIT"
    )
    try:
        with admin.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{database.database}"')
        yield database.render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(
                f'DROP DATABASE IF EXISTS "{database.database}" WITH (FORCE)'
            )
        admin.dispose()


def _check_no_messages(url: str) -> None:
    """Tests delete our queues: refuse a broker on which they hold messages."""
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        for queue in topology.all_queues():
            channel = connection.channel()
            try:
                messages = channel.queue_declare(queue.name, passive=True).method.message_count
            except pika.exceptions.ChannelClosedByBroker:
                continue  # there is no such queue
            assert messages == 0, f"tests delete the queues of AMQP_URL: {queue.name} has messages"


def _migrate(url: str) -> None:
    subprocess.run(
        (sys.executable, "-m", "leadline.runtime.postgres.migrate"),
        check=True,
        cwd=CHECKOUT,
        env={**os.environ, "DATABASE_URL": url},
    )
