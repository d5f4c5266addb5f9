"""The role of each Redis server that Sentinels watch, as the server itself sees it."""

from typing import Any

import redis

from leadline.errors import BadConfiguration
from leadline.runtime import sentinel
from leadline.runtime.hosts import Node, silent_node

MASTER, UNGUARDED_MASTER = "master", "master that accepts writes without a replica"
REPLICA = "replica"
#: For connecting to a server, and for its answer.
_NODE_TIMEOUT_S = 3.0


def nodes(url: str) -> list[Node]:
    """Each server with its role, one of the constants above, or the reason why it has none."""
    return [_node(url, host, port) for host, port in sentinel.server_addresses(url)]


def _node(url: str, host: str, port: int) -> Node:
    address = f"{host}:{port}"
    try:
        server_url = sentinel.server_url(url, host, port)
        with redis.Redis.from_url(
            server_url, socket_connect_timeout=_NODE_TIMEOUT_S, socket_timeout=_NODE_TIMEOUT_S
        ) as client:
            info: dict[str, Any] = client.info("replication")
    except (redis.RedisError, BadConfiguration) as error:
        return silent_node(address, type(error).__name__)
    if info["role"] != "master":
        is_linked = info.get("master_link_status") == "up"
        return Node(address, REPLICA) if is_linked else Node(address, "", "cut off from its master")
    # Redis reports it only if min-replicas-to-write is set.
    is_guarded = "min_slaves_good_slaves" in info
    return Node(address, MASTER if is_guarded else UNGUARDED_MASTER)
