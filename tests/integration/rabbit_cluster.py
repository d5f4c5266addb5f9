"""A RabbitMQ cluster of three nodes behind one address."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from local.runner.ports import Ports
from local.runner.processes.program import Program
from local.runner.servers import selection
from local.runner.servers.rabbitmq import RabbitMQ
from local.runner.state import State, write
from local.sandbox.servers import PrivateServer
from tests.faults.proxy import Proxy

NODES = 3


@dataclass(frozen=True)
class Node(RabbitMQ):
    """One of several brokers that find each other through a shared port mapper."""

    number: int = 0

    def programs(self) -> tuple[Program, ...]:
        """The broker without its port mapper, so that each node can be killed separately."""
        _, broker = super().programs()
        names = ", ".join(f"'rabbit{number}@localhost'" for number in range(NODES))
        config = Path(broker.env["RABBITMQ_CONFIG_FILE"])
        text = config.read_text(encoding="utf-8")
        clustered = f"{{rabbit, [\n   {{cluster_nodes, {{[{names}], disc}}}},"
        write(config, text.replace("{rabbit, [", clustered, 1))
        env = {**broker.env, "RABBITMQ_NODENAME": f"rabbit{self.number}@localhost"}
        return (replace(broker, env=env),)


class Cluster:
    """The nodes; clients reach a live one through a fixed address."""

    def __init__(self, nodes: list[PrivateServer]) -> None:
        self.nodes = nodes
        self._ports = [urlsplit(node.url).port or 0 for node in nodes]
        self.proxy = Proxy(self._ports[0])
        self.url = nodes[0].url.replace(f":{self._ports[0]}/", f":{self.proxy.port}/")

    def route_to(self, number: int) -> None:
        """Route the address to this node, and cut the connections of all clients."""
        self.proxy.retarget(self._ports[number])
        self.proxy.cut()

    def kill(self, number: int) -> None:
        """Kill this node; its clients reach another one at the same address."""
        self.nodes[number].kill()
        self.route_to((number + 1) % NODES)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Nodes that have formed a cluster."""
    nodes: list[PrivateServer] = []
    secret = State(folder / "node0").password("rabbitmq")
    mapper = selection.rabbitmq(State(folder / "node0"), Ports({}, with_defaults=False)).epmd_port
    command = (shutil.which("epmd") or "epmd", "-port", str(mapper), "-address", "127.0.0.1")
    epmd = subprocess.Popen(command)
    try:
        for number in range(NODES):
            state = State(folder / f"node{number}")
            state.create()
            write(state.folder("passwords") / "rabbitmq", secret)
            cookie = state.folder("rabbitmq") / ".erlang.cookie"
            write(cookie, secret)
            cookie.chmod(0o400)
            server = selection.rabbitmq(state, Ports({}, with_defaults=False))
            ports = (server.port, server.management_port, server.distribution_port, mapper)
            nodes.append(PrivateServer(Node(state, *ports, number=number), state))
            nodes[-1].start()
        yield Cluster(nodes)
    finally:
        for node in nodes:
            if node.is_running():
                node.kill()
        epmd.kill()
        epmd.wait()
