"""Redis with two replicas, and a Sentinel on each node."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from local.runner.processes.program import Group, Program, StartPhase
from local.runner.servers.redis import Redis
from local.runner.state import State, write
from local.sandbox.waiting import eventually
from tests.clusters.network import Network, inside
from tests.clusters.node import Disk, Node, state_in

#: The name of the replicated master in Sentinel's configuration.
NAME = "main"
#: After how long a silent master is replaced.
DOWN_AFTER_MS = 2000
#: A master that no replica has acknowledged for this long refuses writes: what it would accept
#: after a cut is lost when it becomes a replica.
MAX_LAG_S = 3
_PORT, _SENTINEL_PORT = 6379, 26379
#: How long a server may take to answer.
_ANSWER_S = 3


@dataclass(frozen=True)
class ReplicatedRedis(Redis):
    """Redis' master, or one of its replicas; all have the same logins."""

    #: The address of the first master; "" on its own node.
    master: str = ""

    def programs(self) -> tuple[Program, ...]:
        """The server. An existing configuration is kept, as Sentinels may have rewritten it."""
        config = self.state.folder("redis") / "redis.conf"
        written = config.read_text(encoding="utf-8") if config.exists() else ""
        programs = super().programs()
        lines = (
            f"masterauth {self.state.password('redis')}",
            "min-replicas-to-write 1",
            f"min-replicas-max-lag {MAX_LAG_S}",
            "repl-ping-replica-period 1",
            "repl-diskless-sync-delay 0",
            *([f"replicaof {self.master} {_PORT}"] if self.master else []),
        )
        text = config.read_text(encoding="utf-8").replace("bind 127.0.0.1", "bind 0.0.0.0")
        write(config, written or text + "".join(f"{line}\n" for line in lines))
        return programs


@dataclass(frozen=True)
class Sentinel:
    """A Sentinel: watches the master, and elects another one when it is down."""

    state: State
    #: The address of the first master.
    master: str

    @property
    def url(self) -> str:
        """The URL of the Sentinel itself."""
        return f"redis://:{self.password}@127.0.0.1:{_SENTINEL_PORT}"

    @property
    def password(self) -> str:
        """The password of all Sentinels."""
        return self.state.password("sentinel")

    def programs(self) -> tuple[Program, ...]:
        """The process. It rewrites its configuration, so an existing one is kept."""
        folder = self.state.folder("sentinel")
        config = folder / "sentinel.conf"
        lines = (
            f"port {_SENTINEL_PORT}",
            "bind 0.0.0.0",
            f"requirepass {self.password}",
            f"sentinel sentinel-pass {self.password}",
            f"sentinel monitor {NAME} {self.master} {_PORT} 2",
            f"sentinel auth-pass {NAME} {self.state.password('redis')}",
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {NAME} 6000",
        )
        if not config.exists():
            write(config, "".join(f"{line}\n" for line in lines))
        program = shutil.which("redis-server") or "redis-server"
        command = (program, str(config), "--sentinel")
        return (Program("sentinel", command, Group.SERVERS, StartPhase.SERVERS, folder=folder),)

    def make_ready(self) -> bool:
        """Nothing to do; returns whether the Sentinel answers."""
        with suppress(redis.RedisError), redis.Redis.from_url(self.url, socket_timeout=2) as client:
            return bool(client.ping())
        return False


class RedisNodes:
    """Master, replicas and Sentinels: three machines."""

    def __init__(self, network: Network, folder: Path, passwords: Path) -> None:
        self.nodes = [Node(network, f"redis-{number}") for number in (1, 2, 3)]
        self._disks: dict[Node, Disk] = {}
        first = self.nodes[0].address
        for node in self.nodes:
            state = state_in(folder / node.name, passwords)
            master = "" if node.address == first else first
            node.place(ReplicatedRedis(state, _PORT, master=master), state)
            node.place(Sentinel(state, first), state)
            self._disks[node] = Disk(state.folder("redis"))
        self._password = state.password("redis")
        self._sentinel_password = state.password("sentinel")

    @property
    def url(self) -> str:
        """The URL for clients, with the Sentinels."""
        hosts = ",".join(node.address for node in self.nodes)
        options = f"sentinel_password={self._sentinel_password}"
        return f"redis+sentinel://:{self._password}@{hosts}/{NAME}/0?{options}"

    def start(self) -> None:
        """Start all servers and Sentinels."""
        for node in self.nodes:
            node.start()
        eventually(self.is_healthy, 60, "Redis is replicated and watched")

    def end(self) -> None:
        """Remove the disks; call it when all servers have ended."""
        for disk in self._disks.values():
            disk.end()

    def fill_disk(self, node: Node) -> None:
        """Fill this node's disk: a master then answers no ping, and is replaced."""
        self._disks[node].fill()

    def repair(self) -> None:
        """End every fault, and wait until all nodes agree."""
        for disk in self._disks.values():
            disk.free()
        for node in self.nodes:
            node.repair()
        eventually(
            self.is_healthy, 60, f"Redis is replicated and watched: {self._masters_by_node()}"
        )

    def is_healthy(self) -> bool:
        """Whether there is one master, the others follow it, and all Sentinels agree."""
        with suppress(redis.RedisError):
            masters = [node for node in self.nodes if self._role(node) == "master"]
            return (
                len(masters) == 1
                and all(self._follows(node, masters[0]) for node in self.nodes)
                and all(self._watches(node, masters[0]) for node in self.nodes)
            )
        return False

    def master(self) -> Node:
        """The master, as most Sentinels see it."""
        masters = [self._master_address_of(node) for node in self.nodes if node.is_running]
        address = max(masters, key=masters.count)
        return next(node for node in self.nodes if node.address == address)

    def failover(self) -> None:
        """Order a Sentinel to promote a replica, as an operator does."""
        with self._client(self.nodes[0], _SENTINEL_PORT) as sentinel:
            sentinel.sentinel_failover(NAME)

    def client(self, node: Node) -> redis.Redis:
        """A client that reaches a node by the network."""
        url = f"redis://:{self._password}@{node.address}:{_PORT}/0"
        return redis.Redis.from_url(url, socket_timeout=10)

    def _master_address_of(self, node: Node) -> str:
        with suppress(redis.RedisError), self._client(node, _SENTINEL_PORT) as sentinel:
            found: Any = sentinel.sentinel_get_master_addr_by_name(NAME)
            return str(found[0]) if found else ""
        return ""

    def _role(self, node: Node) -> str:
        with self._client(node, _PORT) as client:
            return str(client.info("replication")["role"])

    def _follows(self, node: Node, master: Node) -> bool:
        with self._client(node, _PORT) as client:
            info = client.info("replication")
        if node is master:
            return bool(info["connected_slaves"] == 2 and info["min_slaves_good_slaves"] == 2)
        return bool(info["master_host"] == master.address and info["master_link_status"] == "up")

    def _watches(self, node: Node, master: Node) -> bool:
        with self._client(node, _SENTINEL_PORT) as sentinel:
            seen: Any = sentinel.sentinel_master(NAME)
        sees_all = seen["num-slaves"] == 2 and seen["num-other-sentinels"] == 2
        return bool(sees_all and seen["ip"] == master.address and seen["flags"] == "master")

    def _masters_by_node(self) -> dict[str, str]:
        return {node.name: self._master_address_of(node) for node in self.nodes}

    @contextmanager
    def _client(self, node: Node, port: int) -> Iterator[redis.Redis]:
        """A client on the node itself, also if it is cut off."""
        password = self._password if port == _PORT else self._sentinel_password
        with (
            inside(node.name),
            redis.Redis(
                port=port, password=password, decode_responses=True, socket_timeout=_ANSWER_S
            ) as client,
        ):
            yield client
