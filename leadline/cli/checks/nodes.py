"""Checks of clusters: whether each node that a URL names answers, and in which role."""

from collections.abc import Iterator

from leadline.cli.checks.check import Check
from leadline.runtime import redis_nodes, sentinel
from leadline.runtime.hosts import Node
from leadline.runtime.postgres import cluster
from leadline.runtime.postgres.dsn import servers
from leadline.runtime.rabbitmq import nodes as broker
from leadline.runtime.rabbitmq.connection import parameters

_ASYNCHRONOUS = "commits wait for no standby: a failover may lose acknowledged writes"
_UNGUARDED = "a master that is cut off from its replicas accepts writes, which a failover loses"
_PRIMARIES = (cluster.PRIMARY, cluster.SYNCHRONOUS_PRIMARY)
_MASTERS = (redis_nodes.MASTER, redis_nodes.UNGUARDED_MASTER)


def postgres(url: str) -> Iterator[Check]:
    """Check each server, and that exactly one accepts writes.

    Also whether connections lead to that one, and whether its commits wait for a standby.
    """
    all_servers = servers(url)
    if len(all_servers.options) == 1:
        return
    cluster_nodes = cluster.nodes(url)
    yield from _node_checks("Postgres", cluster_nodes)
    primaries = [node for node in cluster_nodes if node.role in _PRIMARIES]
    if len({node.server for node in primaries}) != 1:
        fix = "end the former one: what it accepts is lost" if primaries else "promote a standby"
        yield _problem("Postgres' primary", _several(primaries, "accept writes"), fix)
    if (
        cluster.STANDBY in {node.role for node in cluster_nodes}
        and not all_servers.must_accept_writes
    ):
        fix = "add target_session_attrs=read-write to DATABASE_URL"
        yield _problem("Postgres' hosts", "a connection may lead to the standby", fix)
    if any(node.role == cluster.PRIMARY for node in primaries):
        fix = "set synchronous_standby_names at the primary"
        yield _problem("Postgres' standby", _ASYNCHRONOUS, fix)
    elif primaries:
        yield Check("Postgres' standby", is_ok=True, result="synchronous")


def rabbitmq(url: str) -> Iterator[Check]:
    """Check whether each node accepts clients."""
    if len(parameters(url)) > 1:
        yield from _node_checks("RabbitMQ", broker.nodes(url))


def redis(url: str) -> Iterator[Check]:
    """Check each Sentinel and each server that they watch, and that all agree on the master."""
    if not sentinel.is_sentinel(url):
        return
    sentinels, redis_servers = sentinel.nodes(url), redis_nodes.nodes(url)
    yield from _node_checks("Sentinel", sentinels)
    yield from _node_checks("Redis", redis_servers, fix="start it, or let the Sentinels forget it")
    if len({node.role for node in sentinels if node.role}) > 1:
        fix = "if it lasts longer than a failover, a Sentinel is cut off from the others"
        yield _problem("Redis' master", "the Sentinels name different ones", fix)
    masters = [node for node in redis_servers if node.role in _MASTERS]
    if len(masters) != 1:
        fix = (
            "if it lasts longer than a failover, REPLICAOF at those that the Sentinels do not name"
        )
        yield _problem("Redis' master", _several(masters, "are masters"), fix)
    if any(node.role == redis_nodes.UNGUARDED_MASTER for node in masters):
        fix = "set min-replicas-to-write 1 and min-replicas-max-lag 3 at each server"
        yield _problem("Redis' replicas", _UNGUARDED, fix)


def _node_checks(
    server: str, cluster_nodes: list[Node], fix: str = "start it, or take it out of the URL"
) -> Iterator[Check]:
    for node in cluster_nodes:
        is_ok = bool(node.role)
        name = f"{server} {node.address}"
        yield Check(name, is_ok, node.role or node.error, "" if is_ok else fix)


def _several(cluster_nodes: list[Node], what_they_do: str) -> str:
    names = ", ".join(node.address for node in cluster_nodes)
    return f"{len(cluster_nodes)} {what_they_do}: {names}" if names else f"none: 0 {what_they_do}"


def _problem(name: str, result: str, fix: str) -> Check:
    return Check(name, is_ok=False, result=result, fix=fix)
