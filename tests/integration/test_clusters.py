"""URLs that name the nodes of a cluster: any node may be down, and clients find the right one."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from leadline.cli.checks import nodes
from leadline.cli.checks.check import Check
from leadline.connector.queue_depths import depths
from leadline.errors import BadConfiguration, DatabaseDown, QueueDown
from leadline.messages import topology
from leadline.runtime import redis_nodes, sentinel
from leadline.runtime.hosts import Node
from leadline.runtime.postgres import cluster
from leadline.runtime.postgres.migrate import migrate
from leadline.runtime.postgres.pool import Database
from leadline.runtime.rabbitmq.connection import Message, parameters
from leadline.runtime.rabbitmq.nodes import nodes as rabbitmq_nodes
from leadline.runtime.rabbitmq.publisher import Publisher
from leadline.runtime.redis import connect, reachable
from leadline.runtime.sentinel import nodes as sentinel_nodes
from local.gateway import checks
from local.sandbox.servers import PrivateServer, private
from local.sandbox.waiting import eventually
from tests.faults.proxy import Proxy
from tests.integration.conftest import CommandOutput
from tests.integration.test_connector import Function, Start, function, start
from tests.integration.test_history import owner_connection, run_tool, running, state_folder_with
from tests.integration.test_redis_failover import Pair
from tests.servers import silent_listener

__all__ = ["function", "start"]

FreePort = Callable[[], int]


def with_dead_hosts(url: str, free_port: FreePort, count: int = 6) -> str:
    """The URL with further hosts that refuse connections, before the one that serves."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    dead = ",".join(f"127.0.0.1:{free_port()}" for _ in range(count))
    return url.replace(host, f"{dead},{host}")


#: Far less than the two minutes for which Linux tries to connect, far longer than our time-outs.
SOON_S = 30


@pytest.mark.slow("each host that does not answer is waited for, for three seconds")
def test_clients_move_from_a_host_that_does_not_answer_to_the_next(
    amqp_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Clients of RabbitMQ, too, try the hosts in the order of the URL.
    shuffle = "leadline.runtime.rabbitmq.connection.random.sample"
    monkeypatch.setattr(shuffle, lambda hosts, _count: hosts)
    began = time.monotonic()
    with silent_listener() as listener:
        port = int(listener.getsockname()[1])

        def with_silent_host(url: str) -> str:
            """The URL with the host that does not answer before the one that serves."""
            host = urlsplit(url).netloc.rpartition("@")[2]
            return url.replace(host, f"127.0.0.1:{port},{host}")

        database = Database(with_silent_host(database_url))
        with closing(database):
            assert database.run("SELECT 1 AS one") == [{"one": 1}]
        url = with_silent_host(amqp_url)
        assert parameters(url)[0].port == port
        publisher = Publisher(url, topology.queues_of(topology.REQUESTS))
        with closing(publisher):
            message = Message(topology.REQUESTS, b"{}", message_id="one")
            assert publisher.publish([message], timeout_s=SOON_S) == [True]
        checks.check_rabbitmq(url)
        assert {node.role for node in rabbitmq_nodes(url)} == {"", "answers"}
    assert time.monotonic() - began < 2 * SOON_S


def problems(found: Iterable[Check]) -> set[str]:
    """The names of the checks of `leadline doctor` that found something."""
    return {check.name for check in found if not check.is_ok}


# RabbitMQ


def test_with_one_node_left_messages_are_published_and_consumed(
    amqp_url: str, free_port: FreePort, start: Start, function: Function
) -> None:
    url = with_dead_hosts(amqp_url, free_port)
    connector = start(url)
    connector.await_consuming()
    publisher = Publisher(url, topology.queues_of(topology.REQUESTS))
    with closing(publisher):
        assert publisher.publish(
            [Message(topology.REQUESTS, b"{}", message_id="one")], timeout_s=60
        ) == [True]
    eventually(lambda: function.requests, 60, "the message is delivered")
    assert depths(url, [topology.REQUESTS])
    checks.check_rabbitmq(url)
    answering = [node.address for node in rabbitmq_nodes(url) if node.role]
    assert answering == [urlsplit(amqp_url).netloc.rpartition("@")[2]]
    assert len(rabbitmq_nodes(url)) == 7, "one that answers, and the six dead ones"


def test_every_node_is_used(amqp_url: str, free_port: FreePort) -> None:
    """Connections spread over the nodes: the first node tried is not always the same."""
    url = with_dead_hosts(amqp_url, free_port, count=3)
    assert len({parameters(url)[0].port for _ in range(100)}) == 4


def test_doctor_shows_each_node(
    amqp_url: str,
    free_port: FreePort,
    leadline: Callable[..., CommandOutput],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AMQP_URL", with_dead_hosts(amqp_url, free_port, count=2))
    all_checks = leadline("doctor", "--json").json["checks"]
    of_nodes = [check for check in all_checks if check["name"].startswith("RabbitMQ 127.0.0.1:")]
    (passed,) = (check for check in of_nodes if check["is_well"])
    assert passed["name"].removeprefix("RabbitMQ ") in amqp_url
    failed = [check for check in of_nodes if not check["is_well"]]
    assert [bool(check["mend"]) for check in failed] == [True, True]


@pytest.mark.slow("a confirm is waited for, for five seconds")
def test_a_publisher_leaves_a_node_that_confirms_nothing(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen or isolated node, or a minority of its cluster, ends no connection."""
    # A minority of a cluster answers heartbeats.
    monkeypatch.setattr("leadline.runtime.rabbitmq.connection.HEARTBEAT_S", 600)
    port = urlsplit(amqp_url).port or 0
    silent, other = Proxy(port), Proxy(port)
    urls = [amqp_url.replace(f":{port}/", f":{node.port}/") for node in (silent, other)]
    both = urls[0].replace(f":{silent.port}/", f":{silent.port},127.0.0.1:{other.port}/")
    current_url = [urls[0]]
    publisher = Publisher(lambda: current_url[0], topology.queues_of(topology.REQUESTS))

    def is_published(timeout_s: float) -> bool:
        message = Message(topology.REQUESTS, b"{}", message_id="one")
        return publisher.publish([message], timeout_s=timeout_s) == [True]

    with closing(publisher):
        assert is_published(60)
        current_url[0] = both
        silent.stall()
        assert not is_published(0.5)
        eventually(lambda: is_published(0.5), 60, "another node confirms")
    for proxy in (silent, other):
        proxy.close()


# Postgres


@contextmanager
def primary_and_standby(folder: Path) -> Iterator[tuple[PrivateServer, PrivateServer]]:
    """A Postgres and a standby that follows it."""
    with running(folder / "primary") as primary:
        migrate(primary.url)
        run_tool(primary, "pg_basebackup", "-R", "-c", "fast", "-D", str(folder / "copy"))
        with running(state_folder_with(folder / "standby", folder / "copy", primary)) as standby:
            yield primary, standby


def pair_url(first: PrivateServer, second: PrivateServer, attributes: str) -> str:
    """A URL that names both servers, with this target_session_attrs."""
    hosts = [urlsplit(node.url).netloc.rpartition("@")[2] for node in (first, second)]
    return f"{first.url.replace(hosts[0], ','.join(hosts))}?target_session_attrs={attributes}"


def port_of(database: Database) -> int:
    """The port of the server that answers."""
    (row,) = database.run("SELECT current_setting('port')::int AS port")
    return int(row["port"])


@pytest.mark.slow("copies a server")
def test_the_primary_is_found_before_and_after_a_failover(tmp_path: Path) -> None:
    with primary_and_standby(tmp_path) as (primary, standby):
        primary_port, standby_port = (urlsplit(node.url).port for node in (primary, standby))
        url = pair_url(standby, primary, "read-write")
        database = Database(url)
        assert port_of(database) == primary_port
        with closing(Database(pair_url(standby, primary, "any"))) as any_server:
            assert port_of(any_server) == standby_port
        checks.check_postgres(url)
        assert migrate(url)
        assert [node.role for node in cluster.nodes(url)] == [cluster.STANDBY, cluster.PRIMARY]
        with owner_connection(primary) as connection:
            connection.run("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.run("SELECT pg_reload_conf()")
        eventually(
            lambda: cluster.nodes(url)[1].role == cluster.SYNCHRONOUS_PRIMARY,
            60,
            "the primary has read its new setting",
        )

        primary.stop()
        assert [bool(node.role) for node in cluster.nodes(url)] == [True, False]
        for _ in ("the session that is open", "a new one"):
            with pytest.raises(DatabaseDown):
                port_of(database)
        with owner_connection(standby) as connection:
            connection.run("SELECT pg_promote()")
        with closing(database):
            assert port_of(database) == standby_port
            database.run("CREATE TABLE after_the_failover ()")


@pytest.mark.slow("copies a server")
def test_doctor_shows_two_primaries_and_none(tmp_path: Path) -> None:
    """There may be two after a failover that did not end the old primary."""
    with primary_and_standby(tmp_path) as (primary, standby):
        url = pair_url(standby, primary, "read-write")
        # Found throughout: commits of the primary wait for no standby.
        assert problems(nodes.postgres(url)) == {"Postgres' standby"}
        # One primary under two addresses does not count as two.
        primary_port = urlsplit(primary.url).port or 0
        proxy = Proxy(primary_port)
        also_by_proxy = url.replace(f"{primary_port}/", f"{primary_port},127.0.0.1:{proxy.port}/")
        assert problems(nodes.postgres(also_by_proxy)) == {"Postgres' standby"}
        proxy.close()
        assert "Postgres' hosts" in problems(nodes.postgres(pair_url(standby, primary, "any")))
        with owner_connection(standby) as connection:
            connection.run("SELECT pg_promote()")
        (split,) = (check for check in nodes.postgres(url) if check.name == "Postgres' primary")
        assert not split.is_ok
        for server in (primary, standby):
            assert str(urlsplit(server.url).port) in split.result
        for server in (primary, standby):
            server.stop()
        assert "Postgres' primary" in problems(nodes.postgres(url))


@pytest.mark.slow("copies a server")
def test_clients_leave_a_silent_primary_once_another_server_accepts_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen or isolated primary ends no connection."""
    # Far longer than the search for another primary, on a slow machine, too.
    monkeypatch.setattr("leadline.runtime.postgres.connection.STATEMENT_TIMEOUT_S", 120)
    with primary_and_standby(tmp_path) as (primary, standby):
        ports = [urlsplit(node.url).port or 0 for node in (primary, standby)]
        proxy = Proxy(ports[0])
        url = pair_url(primary, standby, "read-write")
        database = Database(url.replace(f":{ports[0]},", f":{proxy.port},"))
        with closing(database), ThreadPoolExecutor(3) as pool:
            list(pool.map(database.run, ["SELECT pg_sleep(0.2)"] * 3))  # opens three sessions
            slow = "SELECT 1 AS one FROM pg_sleep(2.5)"
            assert database.run(slow) == [{"one": 1}], "a slow answer is not a silent server"

            proxy.stall()
            waiting = pool.submit(database.run, "SELECT 1")
            with owner_connection(standby) as connection:
                connection.run("SELECT pg_promote()")
            with pytest.raises(DatabaseDown):
                waiting.result(60)
            began = time.monotonic()
            assert list(pool.map(port_of, [database] * 3)) == [ports[1]] * 3
            assert time.monotonic() - began < 60
        proxy.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter22@one,,two/d",
        "postgresql://u:hunter22@one:5432,two:port/d",
        "postgresql://u:hunter22@127.0.0.1/d?target_session_attrs=standby",
    ],
)
def test_a_wrong_url_is_rejected_without_quoting_it(url: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        Database(url)
    assert "hunter22" not in str(caught.value)


# Redis by Sentinel


class Sentinels:
    """A master, its replica, and Sentinels that fail over when a test kills the master."""

    NAME = "main"
    PASSWORD = "for-sentinels"  # noqa: S105 - of this test's own servers

    def __init__(self, folder: Path, free_port: FreePort) -> None:
        self.servers = [private("redis", folder / name) for name in ("a", "b")]
        self.ports = [free_port() for _ in range(3)]
        password = urlsplit(self.servers[0].url).password
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        options = f"sentinel_password={self.PASSWORD}"
        self.url = f"redis+sentinel://:{password}@{hosts}/{self.NAME}/0?{options}"
        self._configs = [self._config(folder, port, password) for port in self.ports]
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for server in self.servers:
            server.start()
        Pair(*self.servers).close()  # makes the second server a replica of the first
        program = shutil.which("redis-server") or "redis-server"
        for config in self._configs:
            command = (program, str(config), "--sentinel")
            self._processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        for port in self.ports:
            eventually(partial(self._is_complete, port), 60, "the Sentinels know each other")

    def kill_a_sentinel(self) -> None:
        """Kill the Sentinel that clients ask first."""
        self._processes[0].kill()
        self._processes[0].wait()

    def kill_the_master(self) -> None:
        """Kill the master; the Sentinels that are left notice it within a second."""
        for port, process in zip(self.ports, self._processes, strict=True):
            if process.poll() is None:
                with redis.Redis(port=port, password=self.PASSWORD) as sentinel:
                    sentinel.sentinel_set(self.NAME, "down-after-milliseconds", 1000)
        self.servers[0].kill()

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for server in self.servers:
            server.stop()

    def _config(self, folder: Path, port: int, password: str | None) -> Path:
        """The configuration file of a Sentinel, to which it adds what it learns."""
        config = folder / f"sentinel-{port}.conf"
        lines = (
            f"port {port}",
            "bind 127.0.0.1",
            f"requirepass {self.PASSWORD}",
            f"sentinel sentinel-pass {self.PASSWORD}",
            f"sentinel monitor {self.NAME} 127.0.0.1 {urlsplit(self.servers[0].url).port} 2",
            f"sentinel auth-pass {self.NAME} {password}",
            # A machine that stands still for a moment is no failure of the master.
            f"sentinel down-after-milliseconds {self.NAME} 60000",
            f"sentinel failover-timeout {self.NAME} 4000",
        )
        config.write_text("\n".join(lines), encoding="utf-8")
        return config

    def _is_complete(self, port: int) -> bool:
        """Whether this Sentinel knows the replica and both other Sentinels."""
        with (
            suppress(redis.RedisError),
            redis.Redis(port=port, password=self.PASSWORD) as sentinel,
        ):
            master = sentinel.sentinel_master(self.NAME)
            return bool(master["num-slaves"] == 1 and master["num-other-sentinels"] == 2)
        return False


@pytest.fixture
def sentinels(tmp_path: Path, free_port: FreePort) -> Iterator[Sentinels]:
    sentinels = Sentinels(tmp_path, free_port)
    try:
        sentinels.start()
        yield sentinels
    finally:
        sentinels.close()


@pytest.mark.slow("Sentinels wait a second before they fail over")
def test_the_new_master_is_found_even_if_one_sentinel_is_down(sentinels: Sentinels) -> None:
    client = connect(sentinels.url)
    with closing(client):
        client.set("written", "before")
        assert client.wait(1, 60_000) == 1
        checks.check_redis(sentinels.url)
        sentinels.kill_a_sentinel()
        port = urlsplit(sentinels.servers[0].url).port
        roles = [node.role for node in sentinel_nodes(sentinels.url)]
        assert roles == ["", *[f"the master is 127.0.0.1:{port}"] * 2]
        sentinels.kill_the_master()

        def is_served() -> bool:
            with suppress(QueueDown), reachable():
                return bool(client.set("written", "after"))
            return False

        eventually(is_served, 60, "the new master is found")
        info = client.info("replication")
        assert info["role"] == "master"


@pytest.mark.slow("Sentinels wait a second before they fail over")
def test_writes_move_from_a_demoted_master_to_the_new_one(sentinels: Sentinels) -> None:
    """`SENTINEL failover`: the old master stays reachable, and rejects writes."""
    client = connect(sentinels.url)
    with closing(client):
        client.set("n", 1)
        before = client.info("server")["tcp_port"]
        with redis.Redis(port=sentinels.ports[0], password=sentinels.PASSWORD) as sentinel:
            sentinel.sentinel_failover(sentinels.NAME)

        def is_written_to_another() -> bool:
            with suppress(QueueDown), reachable():
                client.incr("n")
                return bool(client.info("server")["tcp_port"] != before)
            return False

        eventually(is_written_to_another, 60, "writes go to the new master")


class TwoMasters:
    """Two Redis servers that accept writes; simulated Sentinels name one of them as the master."""

    def __init__(self, folder: Path) -> None:
        self.servers = [private("redis", folder / name) for name in ("a", "b")]
        for server in self.servers:
            server.start()
        password = urlsplit(self.servers[0].url).password or ""
        with redis.Redis.from_url(self.servers[1].url) as other:
            other.config_set("requirepass", password)
        self.url = f"redis+sentinel://:{password}@127.0.0.1/main/0"
        #: The number of the server that Sentinels name.
        self.named = 0
        self.do_sentinels_answer = True

    def ask(self, _url: str) -> tuple[str, int]:
        """The answer of a Sentinel: host and port of the master."""
        if not self.do_sentinels_answer:
            raise redis.ConnectionError
        return "127.0.0.1", self.port(self.named)

    def port(self, number: int) -> int:
        return urlsplit(self.servers[number].url).port or 0


@pytest.fixture
def two_masters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoMasters]:
    two_masters = TwoMasters(tmp_path)
    monkeypatch.setattr(sentinel, "_ask_for_master", two_masters.ask)
    yield two_masters
    for server in two_masters.servers:
        server.stop()


def port_in_use(client: redis.Redis) -> int:
    return int(client.info("server")["tcp_port"])


def test_clients_leave_a_replaced_master_before_it_rejects_writes(two_masters: TwoMasters) -> None:
    """Sentinels demote the old master only some ten seconds after they have promoted another."""
    with closing(connect(two_masters.url)) as client:
        assert port_in_use(client) == two_masters.port(0)
        two_masters.named = 1
        eventually(lambda: port_in_use(client) == two_masters.port(1), 60, "the client has moved")


def test_clients_keep_their_master_while_no_sentinel_answers(two_masters: TwoMasters) -> None:
    with closing(connect(two_masters.url)) as client:
        assert port_in_use(client) == two_masters.port(0)
        two_masters.do_sentinels_answer = False
        until = time.monotonic() + 2 * sentinel.ASK_EVERY_S
        while time.monotonic() < until:
            assert port_in_use(client) == two_masters.port(0)
            time.sleep(0.05)


def test_a_transaction_that_watches_keys_stays_on_its_connection(two_masters: TwoMasters) -> None:
    """On another connection it would not notice changes of a watched key."""
    with closing(connect(two_masters.url)) as client, closing(connect(two_masters.url)) as other:
        client.set("n", 1)
        with client.pipeline() as transaction:
            transaction.watch("n")  # type: ignore[no-untyped-call]
            two_masters.named = 1
            eventually(lambda: port_in_use(other) == two_masters.port(1), 60, "another has moved")
            eventually(lambda: not _names(client, two_masters.port(0)), 60, "its Sentinels agree")
            with redis.Redis.from_url(two_masters.servers[0].url) as third:
                third.set("n", 2)
            transaction.multi()
            transaction.set("n", 3)
            with pytest.raises(redis.WatchError):
                transaction.execute()
        assert port_in_use(client) == two_masters.port(1)


def _names(client: redis.Redis, port: int) -> bool:
    """Whether this client takes the server on this port for the master."""
    connection_class = client.connection_pool.connection_class
    sentinels: sentinel.Sentinels = connection_class.sentinels
    return sentinels.watch("127.0.0.1", port)


@pytest.mark.slow("Sentinels need seconds to find each other")
def test_doctor_shows_each_redis_server_and_two_masters(sentinels: Sentinels) -> None:
    master, replica = (urlsplit(server.url).port for server in sentinels.servers)
    url = sentinels.url
    roles = {node.address: node.role for node in redis_nodes.nodes(url)}
    assert roles == {
        f"127.0.0.1:{master}": redis_nodes.UNGUARDED_MASTER,
        f"127.0.0.1:{replica}": redis_nodes.REPLICA,
    }
    assert problems(nodes.redis(url)) == {"Redis' replicas"}
    password = urlsplit(url).password
    with (
        redis.Redis(port=master or 0, password=password) as first,
        redis.Redis(port=replica or 0, password=password) as second,
    ):
        for server in (first, second):
            server.config_set("min-replicas-to-write", 1)
        assert problems(nodes.redis(url)) == set()
        second.replicaof("NO", "ONE")
        (split,) = (check for check in nodes.redis(url) if not check.is_ok)
        assert split.name == "Redis' master"
        assert all(str(port) in split.result for port in (master, replica))
    sentinels.kill_a_sentinel()
    sentinels.servers[0].kill()
    stopped = {f"Sentinel 127.0.0.1:{sentinels.ports[0]}", f"Redis 127.0.0.1:{master}"}
    assert stopped <= problems(nodes.redis(url))


def test_sentinels_that_disagree_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """One Sentinel may be cut off from the others."""
    disagreeing = [
        Node("one:26379", "the master is a:6379"),
        Node("two:26379", "the master is b:6379"),
    ]
    servers = [Node("a:6379", redis_nodes.MASTER), Node("b:6379", redis_nodes.REPLICA)]
    monkeypatch.setattr(sentinel, "nodes", lambda _url: disagreeing)
    monkeypatch.setattr(redis_nodes, "nodes", lambda _url: servers)
    assert problems(nodes.redis("redis+sentinel://one,two/main")) == {"Redis' master"}
    disagreeing.pop()
    assert problems(nodes.redis("redis+sentinel://one,two/main")) == set()
    servers.append(Node("c:6379", "", "cut off from its master"))
    assert problems(nodes.redis("redis+sentinel://one,two/main")) == {"Redis c:6379"}


@pytest.mark.slow("Sentinels need seconds to find each other")
def test_rotated_passwords_of_redis_and_of_its_sentinels_are_used(sentinels: Sentinels) -> None:
    address = [sentinels.url]
    with closing(connect(lambda: address[0])) as client:
        for password in (urlsplit(sentinels.url).password, sentinels.PASSWORD):
            address[0] = sentinels.url.replace(str(password), "wrong")
            client.connection_pool.disconnect()
            with pytest.raises(redis.RedisError):
                client.ping()
            address[0] = sentinels.url
            assert client.ping()


@pytest.mark.parametrize(
    "url",
    ["redis://:hunter22@127.0.0.1,localhost/0", "redis+sentinel://:hunter22@127.0.0.1/"],
)
def test_several_redis_hosts_without_a_masters_name_are_rejected(url: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        connect(url)
    assert "hunter22" not in str(caught.value)
