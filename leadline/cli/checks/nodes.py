"""The nodes of clusters: each that a URL names, and its role."""

from collections.abc import Iterator

from leadline.cli.checks.check import Check
from leadline.runtime import sentinel
from leadline.runtime.hosts import Node
from leadline.runtime.postgres import cluster
from leadline.runtime.postgres.dsn import servers
from leadline.runtime.rabbitmq import nodes as broker
from leadline.runtime.rabbitmq.connection import parameters

_ASYNCHRONOUS = "commits wait for no standby: a failover may lose acknowledged writes"


def postgres(url: str) -> Iterator[Check]:
    """Each server, and whether one of them accepts writes and its commits wait for a standby."""
    if len(servers(url).options) == 1:
        return
    found = cluster.nodes(url)
    yield from _each("Postgres", found)
    roles = {node.role for node in found}
    if cluster.PRIMARY in roles:
        fix = "set synchronous_standby_names at the primary"
        yield Check("Postgres' standby", is_ok=False, result=_ASYNCHRONOUS, fix=fix)
    elif cluster.SYNCHRONOUS_PRIMARY in roles:
        yield Check("Postgres' standby", is_ok=True, result="synchronous")


def rabbitmq(url: str) -> Iterator[Check]:
    """Whether each node accepts clients."""
    if len(parameters(url)) > 1:
        yield from _each("RabbitMQ", broker.nodes(url))


def redis(url: str) -> Iterator[Check]:
    """Which master each Sentinel names."""
    if sentinel.is_sentinel(url):
        yield from _each("Sentinel", sentinel.nodes(url))


def _each(server: str, found: list[Node]) -> Iterator[Check]:
    for node in found:
        name = f"{server} {node.address}"
        fix = "" if node.role else "start it, or take it out of the URL"
        yield Check(name, bool(node.role), node.role or f"does not answer: {node.error}", fix)
