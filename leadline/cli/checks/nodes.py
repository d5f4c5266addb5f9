"""Checks of clusters: whether each node that a URL names answers, and in which role."""

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
    """Check each server, and whether commits at the primary wait for a standby."""
    if len(servers(url).options) == 1:
        return
    cluster_nodes = cluster.nodes(url)
    yield from _node_checks("Postgres", cluster_nodes)
    roles = {node.role for node in cluster_nodes}
    if cluster.PRIMARY in roles:
        fix = "set synchronous_standby_names at the primary"
        yield Check("Postgres' standby", is_ok=False, result=_ASYNCHRONOUS, fix=fix)
    elif cluster.SYNCHRONOUS_PRIMARY in roles:
        yield Check("Postgres' standby", is_ok=True, result="synchronous")


def rabbitmq(url: str) -> Iterator[Check]:
    """Check whether each node accepts clients."""
    if len(parameters(url)) > 1:
        yield from _node_checks("RabbitMQ", broker.nodes(url))


def redis(url: str) -> Iterator[Check]:
    """Check which master each Sentinel names."""
    if sentinel.is_sentinel(url):
        yield from _node_checks("Sentinel", sentinel.nodes(url))


def _node_checks(server: str, cluster_nodes: list[Node]) -> Iterator[Check]:
    for node in cluster_nodes:
        name = f"{server} {node.address}"
        fix = "" if node.role else "start it, or take it out of the URL"
        yield Check(name, bool(node.role), node.role or f"does not answer: {node.error}", fix)
