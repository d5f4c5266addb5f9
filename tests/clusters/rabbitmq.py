"""Three RabbitMQ brokers that form a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pika
import requests

from local.runner.processes.program import Program
from local.runner.servers.rabbitmq import RabbitMQ
from local.runner.state import write
from local.sandbox.waiting import NotInTime, eventually
from tests.clusters.network import Network, inside
from tests.clusters.node import Node, state_in
from tests.faults.bench_parts import rabbitmqctl

_PORT, _MANAGEMENT_PORT, _DISTRIBUTION_PORT, _EPMD_PORT = 5672, 15672, 25672, 4369
#: After how many seconds a silent node counts as down; RabbitMQ's default is 60.
NET_TICK_S = 10
#: How long a repaired node may take to return without help.
RETURN_S = 15
#: How many bytes must be free on a broker's disk: more than any disk has, and the usual limit.
NEVER_FREE, USUALLY_FREE = 10**14, 10**6


@dataclass(frozen=True)
class Broker(RabbitMQ):
    """One of several brokers; a minority of them stops serving, so that its clients move."""

    address: str = ""
    members: tuple[str, ...] = ()
    partition_handling: str = "pause_minority"
    #: The environment of an operator's commands.
    env: dict[str, str] = field(default_factory=dict)

    def programs(self) -> tuple[Program, ...]:
        """Erlang's port mapper and the broker, reachable from other nodes."""
        epmd, broker = super().programs()
        config = Path(broker.env["RABBITMQ_CONFIG_FILE"])
        names = ", ".join(f"'rabbit@{member}'" for member in self.members)
        ours = (
            f"{{cluster_nodes, {{[{names}], disc}}}},"
            f" {{cluster_partition_handling, {self.partition_handling}}},"
        )
        text = config.read_text(encoding="utf-8")
        text = text.replace("{rabbit, [", f"{{rabbit, [\n   {ours}", 1)
        text = text.replace('{tcp_listeners, [{"127.0.0.1",', '{tcp_listeners, [{"0.0.0.0",', 1)
        write(config, text.replace("[", f"[\n {{kernel, [{{net_ticktime, {NET_TICK_S}}}]}},", 1))
        env = {name: value for name, value in broker.env.items() if name != "ERL_EPMD_ADDRESS"}
        env |= {
            "RABBITMQ_NODENAME": f"rabbit@{self.address}",
            "RABBITMQ_USE_LONGNAME": "true",
            # Few threads: three brokers share a small machine.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        }
        self.env.update(env)
        # Its last two words, `-address 127.0.0.1`, would hide it from the other nodes.
        epmd = replace(epmd, command=epmd.command[:-2])
        return (epmd, replace(broker, env=env))


class Brokers:
    """The cluster: three brokers, each on its node."""

    def __init__(
        self, network: Network, folder: Path, passwords: Path, partition_handling: str
    ) -> None:
        self.nodes = [Node(network, f"rabbitmq-{number}") for number in (1, 2, 3)]
        members = tuple(node.address for node in self.nodes)
        for node in self.nodes:
            state = state_in(folder / node.name, passwords)
            cookie = state.folder("rabbitmq") / ".erlang.cookie"
            write(cookie, state.password("rabbitmq"))
            cookie.chmod(0o400)
            broker = Broker(
                state,
                _PORT,
                _MANAGEMENT_PORT,
                _DISTRIBUTION_PORT,
                _EPMD_PORT,
                address=node.address,
                members=members,
                partition_handling=partition_handling,
            )
            node.place(broker, state)
        self._full: set[Node] = set()
        self._owner_url = urlsplit(self.nodes[0].servers[0].url)

    @property
    def url(self) -> str:
        """The URL for clients, with all nodes."""
        return self._url(",".join(node.address for node in self.nodes))

    def start(self) -> None:
        """Start one after the other; each joins the running ones."""
        for node in self.nodes:
            node.start()
        eventually(self.is_healthy, 60, "the brokers form a cluster")

    def repair(self, suspect: Node | None = None) -> None:
        """End every fault, and wait until all nodes agree.

        `suspect` is restarted if it does not return by itself: a broker that was frozen for longer
        than a tick did not notice that the others went on without it.
        """
        for node in self.nodes:
            node.repair()
        for node in list(self._full):
            self._limit_disk(node, USUALLY_FREE)
            self._full.remove(node)
        with suppress(NotInTime):
            eventually(self.is_healthy, RETURN_S, "the brokers form a cluster", poll_every_s=0.5)
            return
        if suspect is not None:
            suspect.kill()
            suspect.start()
        eventually(self.is_healthy, 60, "the brokers form a cluster", poll_every_s=0.5)

    def fill_disk(self, node: Node) -> None:
        """Let a node consider its disk full: no node accepts messages then."""
        self._full.add(node)
        self._limit_disk(node, NEVER_FREE)

    def _limit_disk(self, node: Node, free_bytes: int) -> None:
        broker = cast("Broker", node.servers[0].server)
        with inside(node.name):
            rabbitmqctl(broker.env, "set_disk_free_limit", str(free_bytes))

    def is_healthy(self) -> bool:
        """Whether each node serves clients and knows all others."""
        try:
            return all(self._knows_all(node) for node in self.nodes)
        except (requests.RequestException, KeyError):
            return False

    def leader_of(self, queue: str) -> Node:
        """The node with the leader of a quorum queue."""
        for node in self.nodes:
            with suppress(requests.RequestException, KeyError):
                leader = str(self._management_answer(node, f"queues/%2F/{queue}")["leader"])
                return next(node for node in self.nodes if leader.endswith(f"@{node.address}"))
        raise LookupError(queue)

    def rebalance(self) -> None:
        """Spread the leaders of queues over the nodes, as `rabbitmq-queues rebalance all` does."""
        self._management_answer(self.nodes[0], "rebalance/queues", "POST")

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel with publisher confirms to any node."""
        nodes = [pika.URLParameters(self._url(node.address)) for node in self.nodes]
        connection = pika.BlockingConnection(nodes)
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel
        finally:
            connection.close()

    def _knows_all(self, node: Node) -> bool:
        with inside(node.name):
            is_ready = node.servers[0].server.make_ready()
        members = [member for member in self._management_answer(node, "nodes") if member["running"]]
        return is_ready and len(members) == len(self.nodes)

    def _management_answer(self, node: Node, path: str, method: str = "GET") -> Any:
        """An answer of this node's management API."""
        login = self._owner_url.username or "", self._owner_url.password or ""
        with inside(node.name):
            url = f"http://127.0.0.1:{_MANAGEMENT_PORT}/api/{path}"
            answer = requests.request(method, url, auth=login, timeout=10)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def _url(self, hosts: str) -> str:
        owner = self._owner_url
        return f"amqp://{owner.username}:{owner.password}@{hosts}:{_PORT}/%2F"
