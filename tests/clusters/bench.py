"""Two hosts of Leadline on clusters of servers, and a portal."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis

from leadline.workqueue.queue import WorkQueue
from local.runner.processes.program import Program
from local.runner.servers.bitrix24 import Bitrix24
from local.runner.state import State
from tests.checker.history import ClientWrite
from tests.clusters.network import Network, inside, whereabouts
from tests.clusters.node import Node, state_in
from tests.clusters.postgres import PostgresPair
from tests.clusters.rabbitmq import Brokers
from tests.clusters.redis import RedisNodes
from tests.faults.bench import OUR_CODE, PORTAL, QUICK, Bench
from tests.faults.tap import PublishedMessages
from tests.faults.workload import Workload
from tests.system import System

_PORTAL_PORT = 3024
#: The same on both hosts: a client's URL does not depend on where it is.
_EDGE_PORT = 3000
_WORKERS = "2"


@dataclass(frozen=True)
class Portal(Bitrix24):
    """The portal, reachable from other nodes."""

    def programs(self) -> tuple[Program, ...]:
        """The emulator."""
        (program,) = super().programs()
        return (replace(program, command=(*program.command, "--host", "0.0.0.0")),)  # noqa: S104 - in a namespace


class ClusterBench(Bench):
    """The bench of the fault laboratory on clusters.

    `clocks_apart_s`: how far the clock of Postgres' second node is ahead of all others: a failover
    of Postgres changes the time.

    The URLs that clients use only work on a host: call clients from inside(host). Methods that must
    work even while the network is disturbed run inside the node that they ask.
    """

    command = "make clusters SEED={}"

    def __init__(
        self,
        folder: Path,
        *,
        is_synchronous: bool = True,
        partition_handling: str = "pause_minority",
        clocks_apart_s: int = 0,
        **env: str,
    ) -> None:
        # Nothing taps the connections to the brokers: what is published stays unknown.
        self.published = PublishedMessages()
        self.is_broker_complete = False
        self._passwords = folder / "passwords"
        self._folder, self._env = folder, env
        self.network = Network()
        self.postgres = PostgresPair(
            self.network,
            folder,
            self._passwords,
            is_synchronous=is_synchronous,
            standby_ahead_s=clocks_apart_s,
        )
        self.redises = RedisNodes(self.network, folder, self._passwords)
        self.brokers = Brokers(self.network, folder, self._passwords, partition_handling)
        self.portal = Node(self.network, "portal")
        state = state_in(folder / "portal", self._passwords)
        self.portal.place(Portal(state, _PORTAL_PORT), state)
        self.portal.servers[0].env = {"BITRIX_JOURNAL": str(self.journal)}
        self.hosts = {
            Node(self.network, name): System(State(folder / name)) for name in ("host-1", "host-2")
        }
        self.system = self.systems[0]

    @property
    def nodes(self) -> list[Node]:
        """All machines."""
        servers = (*self.postgres.nodes, *self.redises.nodes, *self.brokers.nodes)
        return [*servers, self.portal, *self.hosts]

    def start(self) -> None:
        """Start everything."""
        for cluster in (self.postgres, self.redises, self.brokers):
            cluster.start()
        self.portal.start()
        self.control("PUT", "settings", PORTAL)
        with self.redis() as client:
            WorkQueue(client, "main").begin_first_epoch()
        for host, system in self.hosts.items():
            system.env = self._environment()
            with inside(host.name):
                system.start()

    def end(self) -> None:
        """Stop everything."""
        for system in self.systems:
            system.end()
        for node in self.nodes:
            if node not in self.hosts:
                node.thaw()
                node.kill()
        self.redises.end()

    def repair(self) -> None:
        """End every fault, and wait until all clusters have recovered."""
        for host in self.hosts:
            host.heal()
        self.brokers.repair()
        self.redises.repair()
        self.postgres.repair()
        if remaining := self.network.disturbed:
            raise RuntimeError(f"not repaired: {remaining}")
        self.control("DELETE", "faults")
        self.control("PUT", "settings", PORTAL)

    # Processes and servers

    @property
    def systems(self) -> tuple[System, ...]:
        """The systems, one on each host."""
        return tuple(self.hosts.values())

    def on_host_of(self, system: System) -> AbstractContextManager[None]:
        """Move this thread to the system's host."""
        return inside(next(host.name for host, other in self.hosts.items() if other is system))

    def passwords(self) -> Iterator[Path]:
        """Files with the servers' passwords."""
        return self._passwords.glob("*")

    @property
    def edge(self) -> str:
        """The clients' URL, on each host."""
        return f"http://127.0.0.1:{_EDGE_PORT}"

    # Data

    def control(self, method: str, path: str, body: object = None) -> Any:
        """The portal's control API."""
        with inside(self.portal.name):
            return super().control(method, path, body)

    def call_by_hand(self, method: str, **params: object) -> None:
        """A person's call to the CRM."""
        with inside(self.portal.name):
            super().call_by_hand(method, **params)

    @property
    def portal_url(self) -> str:
        """The portal's own address."""
        return self.portal.servers[0].url

    @property
    def journal(self) -> Path:
        """The portal's journal of requests and writes."""
        return self._folder / "portal" / "journal"

    def rows(self, sql: str, **params: object) -> list[dict[str, Any]]:
        """Rows of the ledger, from the primary."""
        return self.postgres.rows(sql, **params)

    def redis(self) -> redis.Redis:
        """A client of the master, while nothing disturbs the network."""
        return self.redises.client(self.redises.master())

    def channel(self) -> AbstractContextManager[Any]:
        """A channel to any broker, while nothing disturbs the network."""
        return self.brokers.channel()

    def _environment(self) -> dict[str, str]:
        return {
            "PORT": str(_EDGE_PORT),
            "DATABASE_URL": self.postgres.url,
            "AMQP_URL": self.brokers.url,
            "REDIS_URL": self.redises.url,
            "BITRIX_WEBHOOK_URL": f"http://{self.portal.address}:{_PORTAL_PORT}/rest/1/{OUR_CODE}/",
            "LEADLINE_CLEARTEXT": "postgres,rabbitmq,redis,bitrix24",
            "LEADLINE_AUTH": "off",
            **QUICK,
            "WORKERS": _WORKERS,
            **self._env,
        }


class ClusterWorkload(Workload):
    """Half of the clients are on each host; records when each host has acknowledged a write."""

    def __init__(self, bench: ClusterBench, seed: int) -> None:
        self._hosts = [host.name for host in bench.hosts]
        self._clients = 0
        self.acknowledged: defaultdict[str, list[float]] = defaultdict(list)
        super().__init__(bench, seed)

    def record(self, write: ClientWrite) -> None:
        """Record what a client observed."""
        # Without an answer no fork came before it.
        answered_at = write.answered_at or 0.0
        forks_before = sum(forked_at < answered_at for forked_at in self.forked_at)
        super().record(replace(write, era=forks_before))
        if write.is_acknowledged:
            self.acknowledged[whereabouts()].append(time.time())

    def _write_until_stopped(self, dice: Any) -> None:
        self._clients += 1
        with inside(self._hosts[self._clients % len(self._hosts)]):
            super()._write_until_stopped(dice)
