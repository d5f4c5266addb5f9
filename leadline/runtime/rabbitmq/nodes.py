"""Whether each node of a RabbitMQ cluster accepts clients."""

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError

from leadline.runtime.hosts import Node, silent_node
from leadline.runtime.rabbitmq.connection import parameters, reason_of

#: For connecting to a node.
_NODE_TIMEOUT_S = 3.0
ANSWERS = "answers"


def nodes(url: str) -> list[Node]:
    """Each node of this URL; the nodes of a cluster have no roles."""
    return sorted((_node(options) for options in parameters(url)), key=lambda node: node.address)


def _node(options: pika.URLParameters) -> Node:
    options.socket_timeout = options.stack_timeout = options.blocked_connection_timeout = (
        _NODE_TIMEOUT_S
    )
    address = f"{options.host}:{options.port}"
    try:
        pika.BlockingConnection(options).close()
    except (AMQPError, AMQPConnectorException, OSError) as error:
        return silent_node(address, reason_of(error))
    return Node(address, ANSWERS)
