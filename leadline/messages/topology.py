"""The queues: two for work, and for each its dead letters and its delay queues.

`bitrix_queue` and `bitrix.responses` carry the messages; `<queue>.delay.<seconds>` holds a message
that could not be served until its time comes, then gives it back; `<queue>.dead` keeps what can't
be served, with the reason in a header, until an operator decides.

All are of one type, quorum by default: they have copies on several nodes, and go on without one.

Each work queue has an exchange of its name. Who may publish to the default exchange can put
messages into every queue; so the parts that publish have a right to one of these only.
"""

from typing import TYPE_CHECKING

from leadline.runtime.rabbitmq.connection import Queue
from leadline.settings import settings

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

REQUESTS = "bitrix_queue"
REPLIES = "bitrix.responses"

#: Seconds before a message that could not be served comes again; the last repeats.
RETRY_STEPS_S = (1, 4, 15, 60)
#: A message that has killed its consumer this often is dead; RabbitMQ counts it (quorum only).
DELIVERY_LIMIT = 20
#: Looking at a dead letter counts as a delivery, and RabbitMQ 4 drops a message after 20 of them
#: where a queue sets no limit (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling).
LOOKS = 2**31 - 1

#: At-least-once dead lettering needs reject-publish:
#: https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering
_AT_LEAST_ONCE = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


def work_queue(name: str) -> Queue:
    """A queue that is consumed; what RabbitMQ itself gives up on goes to its dead letters.

    A classic one is as plain as other clients declare it: RabbitMQ refuses whoever declares a queue
    with other arguments. It gives up on nothing by itself.
    """
    if settings().queue_type == "classic":
        return Queue(name, {})
    return Queue(
        name,
        {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead_letters(name),
            "x-delivery-limit": DELIVERY_LIMIT,
            **_AT_LEAST_ONCE,
        },
    )


def declare(channel: "BlockingChannel", queue: Queue) -> None:
    """Make a work queue and its exchange, where they are missing."""
    name = queue.name
    channel.queue_declare(name, durable=True, arguments=queue.arguments)
    channel.exchange_declare(name, "direct", durable=True)
    channel.queue_bind(name, name, routing_key=name)


def queues_of(name: str) -> tuple[Queue, ...]:
    """The work queue and its dead letters, in the order to declare them: a publisher's."""
    return (dead_letter_queue(name), work_queue(name))


def dead_letter_queue(name: str) -> Queue:
    """The queue that keeps the dead letters of a work queue."""
    arguments: dict[str, object] = {"x-queue-type": settings().queue_type}
    if settings().queue_type == "quorum":
        arguments["x-delivery-limit"] = LOOKS
    return Queue(dead_letters(name), arguments, is_auxiliary=True)


def delay_queues(name: str) -> tuple[Queue, ...]:
    """The queues in which messages of a work queue wait; each gives back what has waited."""
    kind = settings().queue_type
    arguments: dict[str, object] = {
        "x-queue-type": kind,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": name,
        **(_AT_LEAST_ONCE if kind == "quorum" else {}),
    }
    return tuple(
        Queue(delay(name, step), {**arguments, "x-message-ttl": step * 1000}, is_auxiliary=True)
        for step in RETRY_STEPS_S
    )


def auxiliary_queues(name: str) -> tuple[Queue, ...]:
    """What the connector needs beside the work queue."""
    return (dead_letter_queue(name), *delay_queues(name))


def all_queues() -> tuple[Queue, ...]:
    """Every queue of the system."""
    return tuple(
        queue for name in (REQUESTS, REPLIES) for queue in (*queues_of(name), *delay_queues(name))
    )


def dead_letters(name: str) -> str:
    """Where messages of this queue go that can't be served."""
    return f"{name}.dead"


def delay(name: str, seconds: int) -> str:
    """Where messages of this queue wait this long before they come again."""
    return f"{name}.delay.{seconds}s"


def retired(name: str) -> tuple[str, ...]:
    """Delay queues of earlier versions, on one node each; what they hold comes back by itself."""
    return tuple(f"{name}.retry.{step}s" for step in RETRY_STEPS_S)
