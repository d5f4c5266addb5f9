"""A RabbitMQ cluster of three nodes: any one may be killed, and the system continues.

Takes minutes on a busy machine: `pytest -m long tests/integration/test_rabbitmq_nodes.py`.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from leadline.messages import topology
from leadline.runtime.rabbitmq.connection import Message
from leadline.runtime.rabbitmq.publisher import Publisher
from local.sandbox.waiting import eventually
from tests.integration.rabbit_cluster import NODES, Cluster, cluster

# The connector in its own process, and a function with a given answer.
from tests.integration.test_connector import Function, Start, function, start

pytestmark = pytest.mark.long
__all__ = ["function", "start"]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as started:
        yield started


@pytest.fixture
def publish(nodes: Cluster) -> Iterator[Callable[[bytes], None]]:
    """Publishes a message until it is confirmed, as the relay does."""
    publisher = Publisher(nodes.url, topology.queues_of(topology.REQUESTS))

    def publish_until_confirmed(body: bytes) -> None:
        message = Message(topology.REQUESTS, body, body.decode())
        eventually(lambda: publisher.publish([message]) == [True], 60, f"{body!r} is published")

    yield publish_until_confirmed
    publisher.close()


def is_served(function: Function, body: bytes, requests: int = 1) -> bool:
    """Whether the function has got at least this many requests with this body."""
    return [received for _, _, received in function.requests].count(body) >= requests


def test_any_node_may_be_killed_and_messages_are_published_consumed_and_delayed(
    nodes: Cluster, start: Start, function: Function, publish: Callable[[bytes], None]
) -> None:
    connector = start(nodes.url)
    connector.await_consuming()
    publish(b"first")
    eventually(partial(is_served, function, b"first"), 60, "the first is consumed")
    # RabbitMQ 3.10 may lose a quorum queue whose node is killed right after its declaration.
    time.sleep(3)
    for number in range(NODES):
        nodes.route_to(number)
        eventually(lambda: connector.health() == 200, 60, "the connector consumes by this node")
        nodes.kill(number)
        began = time.monotonic()
        for statuses in ([], [503]):  # served at once, and after a delay
            function.answers = statuses.copy()
            body = b"%d-%d" % (number, len(statuses))
            publish(body)
            eventually(
                partial(is_served, function, body, 1 + len(statuses)),
                60,
                f"{body!r} is served without node {number}",
            )
        print(f"without node {number}: {time.monotonic() - began:.1f} s")  # noqa: T201
        nodes.nodes[number].start()
        time.sleep(2)  # its queues catch up
    assert connector.stop() == 0
