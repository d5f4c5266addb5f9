"""A process as the runner, the supervisor and the tests see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


class Stage(Enum):
    """When a process is started: as soon as it can work, so that its log tells no false trouble."""

    SERVERS = "at once"
    FUNCTIONS = "with the database migrated"
    MORE = "with the whole system up"
    LATER = "when it is deployed again: it was removed by the OpenFaaS API"


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
    """A command that stays in the foreground; its pid is the pid of the thing itself."""

    name: str
    command: tuple[str, ...]
    group: Group
    stage: Stage
    env: Mapping[str, str] = field(default_factory=dict)
    folder: Path = CHECKOUT
    stop_signal: str = "TERM"
    #: How long it may take to stop before it is killed.
    stop_wait_s: int = 3

    @property
    def niceness(self) -> int:
        """Servers go first: RabbitMQ's start is the longest, and all others wait for it."""
        return 0 if self.stage is Stage.SERVERS else 19
