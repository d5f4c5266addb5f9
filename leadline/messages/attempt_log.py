"""The attempt log of an event: when the work queue received it, and every attempt to apply it.

It is stored with the event in the work queue, and the reply carries it to the ledger in a header.
Its size is bounded: a few attempts, with error texts cut to fit into a header.
"""

import base64
from dataclasses import dataclass, replace
from typing import Annotated

import orjson
from pydantic import Field, TypeAdapter

from leadline.messages.contract import Reason, readable

#: Maximum number of attempts kept; a worker makes three.
MAX_ATTEMPTS = 5
#: Characters kept of an error; the reply has the last error in full.
MAX_ERROR = 150
#: The connector and gateways truncate longer headers; a longer log is dropped.
MAX_HEADER = 1000

Milliseconds = Annotated[int, Field(ge=0, lt=2**53)]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: its start in unix ms, and its error unless the reply has the outcome."""

    at_ms: Milliseconds
    error: Reason | None = None


@dataclass(frozen=True, slots=True)
class AttemptLog:
    """When the work queue received the event, in unix ms, and its attempts, oldest first."""

    received_ms: Milliseconds | None = None
    #: The attempts; stored logs have this name.
    tries: Annotated[tuple[Attempt, ...], Field(max_length=MAX_ATTEMPTS)] = ()

    def with_attempt(self, at_ms: int, error: str | None) -> "AttemptLog":
        """A copy with one more attempt."""
        text = readable(error, MAX_ERROR) if error else None
        return replace(self, tries=(*self.tries, Attempt(at_ms, text))[-MAX_ATTEMPTS:])

    def with_final_error(self, reason: str | None) -> "AttemptLog":
        """A copy with the reply's reason as the error of the last attempt."""
        if not self.tries or reason is None:
            return self
        return replace(self, tries=(*self.tries[:-1], replace(self.tries[-1], error=reason)))

    def to_json(self) -> str:
        """As JSON."""
        return orjson.dumps(self).decode()

    def to_header(self) -> str | None:
        """As a header value, in base64 so that no gateway alters it; None if it is too long."""
        text = base64.urlsafe_b64encode(self.to_json().encode()).decode()
        return text if len(text) <= MAX_HEADER else None


_ADAPTER: TypeAdapter[AttemptLog] = TypeAdapter(AttemptLog)


def parse(value: object) -> AttemptLog:
    """An attempt log from parsed JSON.

    Raises:
        pydantic.ValidationError: invalid content.
    """
    return _ADAPTER.validate_python(value)


def from_header(value: str | None) -> AttemptLog | None:
    """The attempt log from a header; None if it is missing or invalid."""
    if value is None:
        return None
    try:
        return _ADAPTER.validate_json(base64.urlsafe_b64decode(value))
    except ValueError:  # the errors of pydantic and base64 are subclasses
        return None
