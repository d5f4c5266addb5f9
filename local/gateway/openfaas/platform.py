"""The interface to the platform that runs the functions."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class PlatformDown(Exception):
    """The platform does not answer; the text names it."""


@dataclass(frozen=True)
class Instances:
    """The instances of one function."""

    image: str
    count: int
    since: datetime


@dataclass(frozen=True)
class Usage:
    """The resources of a function's processes: memory now, and mean CPU.

    The mean is that of the last second under docker, and that since their start in `make run`.
    """

    memory_bytes: int
    millicores: float


@dataclass(frozen=True)
class LogLine:
    """One line of a function's log."""

    at: datetime
    instance: str
    text: str


class Platform(Protocol):
    """Starts and stops functions by name. Every call but `logs` may raise PlatformDown."""

    #: As `faas-cli version` shows it.
    orchestration: str
    #: How to change the number of replicas, which the API does not.
    scaling: str

    async def refusal(self, image: str) -> str | None:
        """Why this image of a known function can't run; None if it can."""

    async def restart(self, name: str) -> None:
        """Start the newest deployment; the old process finishes its requests first."""

    async def stop(self, name: str) -> None:
        """Stop the function until `restart`."""

    async def instances(self) -> dict[str, Instances]:
        """The instances of every function."""

    async def usage(self, name: str) -> Usage | None:
        """The usage of a function; None while it does not run."""

    def logs(
        self, name: str, since: datetime | None, tail: int | None, *, is_followed: bool
    ) -> AsyncIterator[LogLine]:
        """The function's log from `since` on, its last `tail` lines, and new lines if followed."""
