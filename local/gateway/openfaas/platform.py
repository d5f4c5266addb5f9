"""What the API needs of whatever runs the functions."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class PlatformDown(Exception):
    """Whatever runs the functions does not answer; the text says what."""


@dataclass(frozen=True)
class Instances:
    """What there is of one function."""

    image: str
    count: int
    since: datetime


@dataclass(frozen=True)
class Usage:
    """What a function's processes take: memory now, processor since they started."""

    memory_bytes: int
    millicores: float


@dataclass(frozen=True)
class LogLine:
    """One line of a function's log."""

    at: datetime
    instance: str
    text: str


class Platform(Protocol):
    """Starts and stops functions by name. Every call but `logs` raises PlatformDown."""

    #: As `faas-cli version` shows it.
    orchestration: str
    #: Why the API does not change the number of replicas.
    scaling: str

    async def refusal(self, image: str) -> str | None:
        """Why this image of a known function can't be run, None if it can."""

    async def restart(self, name: str) -> None:
        """Start the function with its newest deployment; what ran before finishes its requests."""

    async def stop(self, name: str) -> None:
        """End the function; nothing starts it again until `restart`."""

    async def instances(self) -> dict[str, Instances]:
        """How many of each function there are, and since when."""

    async def usage(self, name: str) -> Usage | None:
        """What the function takes, None while it does not run."""

    def logs(
        self, name: str, since: datetime | None, tail: int | None, *, is_followed: bool
    ) -> AsyncIterator[LogLine]:
        """The function's log from `since` on, its last `tail` lines, and what comes if followed."""
