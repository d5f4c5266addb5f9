"""The system's health: reads it from the servers and judges it, for all that show it.

`leadline doctor`, `leadline status`, the console's dashboard and the gauges render it. The edge's
`/healthz` must answer within two seconds, so it reads through its own connections; it shares the
thresholds.
"""

from dataclasses import dataclass

from leadline.connector.queue_depths import Depth as QueueDepth
from leadline.connector.queue_depths import depths
from leadline.messages import topology
from leadline.runtime import secrets
from leadline.workqueue import portal_state
from leadline.workqueue.outage import Outage
from leadline.workqueue.queue import work_queue
from leadline.workqueue.queue_view import Depth
from leadline.workqueue.worker_heartbeats import SILENT_S

#: If an event has been due for longer, no relay is running: it runs every few seconds.
OVERDUE_S = 120.0


def is_relay_late(overdue_s: float | None) -> bool:
    """Whether the oldest due event has waited too long for the relay."""
    return (overdue_s or 0.0) >= OVERDUE_S


@dataclass(frozen=True, slots=True)
class Queues:
    """The queues of RabbitMQ; None for one that does not exist."""

    depths: dict[str, QueueDepth | None]

    @property
    def existing(self) -> dict[str, QueueDepth]:
        """The queues that exist."""
        return {name: depth for name, depth in self.depths.items() if depth is not None}

    @property
    def missing(self) -> list[str]:
        """Queues that the connector would declare."""
        return [name for name, depth in self.depths.items() if depth is None]


def queues() -> Queues:
    """Read all our queues.

    Raises:
        BrokerDown: RabbitMQ can't be reached.
    """
    return Queues(
        depths(secrets.require("amqp-url"), [queue.name for queue in topology.all_queues()])
    )


@dataclass(frozen=True, slots=True)
class Work:
    """The work queue and its workers."""

    depth: Depth
    #: Seconds since the last heartbeat of any worker; None if there was none within an hour.
    silence_s: float | None

    @property
    def has_worker(self) -> bool:
        """Whether a worker is alive."""
        return self.silence_s is not None and self.silence_s <= SILENT_S


def work() -> Work:
    """Read the work queue.

    Raises:
        QueueDown: Redis can't be reached.
    """
    return Work(work_queue().depth(), portal_state.worker_heartbeats().silence_s())


@dataclass(frozen=True, slots=True)
class Portal:
    """Whether calls to the portal are made and answered."""

    pause: Outage | None
    unreachable: Outage | None


def portal() -> Portal:
    """Read the portal's state.

    Raises:
        QueueDown: Redis can't be reached.
    """
    pause = portal_state.circuit_breaker().restore_and_read()
    return Portal(pause, portal_state.reachability().outage())
