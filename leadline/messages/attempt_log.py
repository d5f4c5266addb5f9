"""An event's way between its publication and its reply, as the worker's side saw it.

It is kept with the event in the work queue and travels with the reply, in a header, into the
ledger. Bounded on the way: a few attempts, and of each error what fits into a header.
"""

import base64
from dataclasses import asdict, dataclass, replace
from typing import Annotated

import orjson
from pydantic import Field, TypeAdapter

from leadline.messages.contract import Reason, readable

#: Attempts that are kept; a worker makes three.
MAX_ATTEMPTS = 5
#: Characters of an error that are kept; the last one stands in the reply in full.
MAX_ERROR = 150
#: Courier and gateways shorten long headers; a longer journey is not told.
MAX_HEADER = 1000

Milliseconds = Annotated[int, Field(ge=0, lt=2**53)]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: when it began, in unix ms, and its error; None: none, or the reply's reason."""

    at_ms: Milliseconds
    error: Reason | None = None


@dataclass(frozen=True, slots=True)
class AttemptLog:
    """When the work queue got the event, in unix ms, and what was tried."""

    received_ms: Milliseconds | None = None
    tries: Annotated[tuple[Attempt, ...], Field(max_length=MAX_ATTEMPTS)] = ()

    def with_attempt(self, at_ms: int, error: str | None) -> "AttemptLog":
        """With one attempt more."""
        kept = readable(error, MAX_ERROR) if error else None
        return replace(self, tries=(*self.tries, Attempt(at_ms, kept))[-MAX_ATTEMPTS:])

    def with_final_error(self, reason: str | None) -> "AttemptLog":
        """With the reply's reason as the last attempt's error."""
        if not self.tries or reason is None:
            return self
        return replace(self, tries=(*self.tries[:-1], replace(self.tries[-1], error=reason)))

    def to_json(self) -> str:
        """As JSON."""
        return orjson.dumps(asdict(self)).decode()

    def to_header(self) -> str | None:
        """As a header's value, which no gateway alters; None where it would be too long."""
        text = base64.urlsafe_b64encode(self.to_json().encode()).decode()
        return text if len(text) <= MAX_HEADER else None


_ADAPTER: TypeAdapter[AttemptLog] = TypeAdapter(AttemptLog)


def parse(value: object) -> AttemptLog:
    """A journey out of parsed JSON.

    Raises:
        pydantic.ValidationError: it is none.
    """
    return _ADAPTER.validate_python(value)


def from_header(value: str | None) -> AttemptLog | None:
    """The journey in a header; None where there is none, or nothing that makes sense."""
    if value is None:
        return None
    try:
        return _ADAPTER.validate_json(base64.urlsafe_b64decode(value))
    except ValueError:  # pydantic's and base64's own are such
        return None
