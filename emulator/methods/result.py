"""What a method gives back when it succeeds."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """The `result`, and for lists what stands beside it."""

    result: Any
    total: int | None = None
    next: int | None = None
    #: The lead that was written, for the journal.
    lead: int | None = None
