"""A process of the system, as the runner, the supervisor and tests describe it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


class StartPhase(Enum):
    """When a process starts: as soon as it can work, so that it logs no false errors."""

    SERVERS = "at once"
    FUNCTIONS = "with the database migrated"
    AFTER_READY = "with the whole system up"
    REMOVED = "when it is deployed again: it was removed by the OpenFaaS API"


class Group(Enum):
    """Processes that stop together; the highest value stops first."""

    SERVERS = 1
    FUNCTIONS = 2
    EDGE = 3

    @property
    def label(self) -> str:
        """The group's name in the supervisor's configuration."""
        return self.name.lower()


@dataclass(frozen=True)
class Program:
    """A command that stays in the foreground; its pid is the program's, not a wrapper's."""

    name: str
    command: tuple[str, ...]
    group: Group
    phase: StartPhase
    env: Mapping[str, str] = field(default_factory=dict)
    folder: Path = CHECKOUT
    stop_signal: str = "TERM"
    #: Seconds to stop in before it is killed.
    stop_wait_s: int = 3

    @property
    def niceness(self) -> int:
        """Servers have priority: RabbitMQ takes longest to start, and all others wait for it."""
        return 0 if self.phase is StartPhase.SERVERS else 19
