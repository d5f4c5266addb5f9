"""The queues: two main queues, each with a dead-letter queue and delay queues.

`bitrix_queue` and `bitrix.responses` carry the messages. `<queue>.delay.<seconds>s` holds a failed
message until its delay is over, then returns it. `<queue>.dead` keeps messages that can't be
processed, with the reason in a header, until an operator replays or discards them.

All queues have one type, quorum by default: replicated, so they survive the loss of a node.

Each main queue has an exchange of its name. A login that may publish to the default exchange can
write to every queue; so each publisher has permission for one of these exchanges only.
"""

from typing import TYPE_CHECKING

from leadline.runtime.rabbitmq.connection import Queue
from leadline.settings import settings

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

REQUESTS = "bitrix_queue"
REPLIES = "bitrix.responses"

#: Back-off: seconds before a failed message is delivered again; the last one repeats.
RETRY_STEPS_S = (1, 4, 15, 60)
#: Deliveries that killed the consumer before RabbitMQ dead-letters a message (quorum only).
DELIVERY_LIMIT = 20
#: Reading a dead letter counts as a delivery, and without an explicit limit RabbitMQ 4 drops a
#: message after 20 (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling).
UNLIMITED_DELIVERIES = 2**31 - 1

#: At-least-once dead lettering needs reject-publish:
#: https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering
_AT_LEAST_ONCE = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


def main_queue(name: str) -> Queue:
    """The definition of a main queue; RabbitMQ moves poison messages to its dead letters.

    A classic queue has no arguments, as other clients declare it: RabbitMQ rejects a declaration
    with different arguments. Classic queues have no delivery limit.
    """
    if settings().queue_type == "classic":
        return Queue(name, {})
    return Queue(
        name,
        {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead_letter_name(name),
            "x-delivery-limit": DELIVERY_LIMIT,
            **_AT_LEAST_ONCE,
        },
    )


def declare(channel: "BlockingChannel", queue: Queue) -> None:
    """Declare a main queue and its exchange."""
    name = queue.name
    channel.queue_declare(name, durable=True, arguments=queue.arguments)
    channel.exchange_declare(name, "direct", durable=True)
    channel.queue_bind(name, name, routing_key=name)


def queues_of(name: str) -> tuple[Queue, ...]:
    """A main queue and its dead-letter queue, in the order to declare them; for publishers."""
    return (dead_letter_queue(name), main_queue(name))


def dead_letter_queue(name: str) -> Queue:
    """The dead-letter queue of a main queue."""
    arguments: dict[str, object] = {"x-queue-type": settings().queue_type}
    if settings().queue_type == "quorum":
        arguments["x-delivery-limit"] = UNLIMITED_DELIVERIES
    return Queue(dead_letter_name(name), arguments, is_auxiliary=True)


def delay_queues(name: str) -> tuple[Queue, ...]:
    """The delay queues of a main queue; expired messages return to the main queue."""
    arguments: dict[str, object] = {
        "x-queue-type": settings().queue_type,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": name,
    }
    if settings().queue_type == "quorum":
        arguments |= _AT_LEAST_ONCE
    return tuple(
        Queue(
            delay_name(name, step), {**arguments, "x-message-ttl": step * 1000}, is_auxiliary=True
        )
        for step in RETRY_STEPS_S
    )


def auxiliary_queues(name: str) -> tuple[Queue, ...]:
    """The queues that the connector needs in addition to the main queue."""
    return (dead_letter_queue(name), *delay_queues(name))


def all_queues() -> tuple[Queue, ...]:
    """All queues of the system."""
    return tuple(
        queue for name in (REQUESTS, REPLIES) for queue in (*queues_of(name), *delay_queues(name))
    )


def dead_letter_name(name: str) -> str:
    """The name of a main queue's dead-letter queue."""
    return f"{name}.dead"


def delay_name(name: str, seconds: int) -> str:
    """The name of a main queue's delay queue."""
    return f"{name}.delay.{seconds}s"


def retired(name: str) -> tuple[str, ...]:
    """Unreplicated delay queues of earlier versions; their messages return when they expire."""
    return tuple(f"{name}.retry.{step}s" for step in RETRY_STEPS_S)
