"""The queues: two for work, and for each its delays and its dead letters.

`bitrix_queue` and `bitrix.responses` carry the messages; `<queue>.retry.<seconds>` holds a message
that could not be served until its time comes, then gives it back; `<queue>.dead` keeps what can't
be served, with the reason in a header, until an operator decides.
"""

from leadline.runtime.broker import Queue
from leadline.runtime.settings import settings

REQUESTS = "bitrix_queue"
REPLIES = "bitrix.responses"

#: Seconds before a message that could not be served comes again; the last repeats.
RETRY_STEPS_S = (1, 4, 15, 60)
#: A message that has killed its consumer this often is dead; RabbitMQ counts it (quorum only).
DELIVERY_LIMIT = 20
#: Looking at a dead letter counts as a delivery, and RabbitMQ 4 drops a message after 20 of them
#: where a queue sets no limit (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling).
LOOKS = 2**31 - 1


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
            # At-least-once dead lettering needs reject-publish:
            # https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )


def queues_of(name: str) -> tuple[Queue, ...]:
    """The work queue with its dead letters and delays, in the order to declare them."""
    grave: dict[str, object] = {"x-queue-type": settings().queue_type}
    if settings().queue_type == "quorum":
        grave["x-delivery-limit"] = LOOKS
    return (
        Queue(dead_letters(name), grave),
        work_queue(name),
        *(
            Queue(
                delay(name, step),
                {
                    "x-queue-type": "classic",
                    "x-message-ttl": step * 1000,
                    "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": name,
                },
            )
            for step in RETRY_STEPS_S
        ),
    )


def all_queues() -> tuple[Queue, ...]:
    """Every queue of the system."""
    return (*queues_of(REQUESTS), *queues_of(REPLIES))


def dead_letters(name: str) -> str:
    """Where messages of this queue go that can't be served."""
    return f"{name}.dead"


def delay(name: str, seconds: int) -> str:
    """Where messages of this queue wait this long before they come again."""
    return f"{name}.retry.{seconds}s"
