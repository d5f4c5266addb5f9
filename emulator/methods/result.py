"""The result of a successful method."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MethodResult:
    """The `result`, and for lists its siblings `total` and `next`."""

    result: Any
    total: int | None = None
    next: int | None = None
    #: The id of the written lead, for the journal.
    lead: int | None = None
