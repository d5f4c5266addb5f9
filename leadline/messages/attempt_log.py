"""The attempt log of an event: when the work queue received it, and every attempt to apply it.

It is stored with the event in the work queue, and the reply carries it to the ledger in a header.
Its size is bounded: a few attempts, with error texts cut to fit into a header.

The calls (commands to Bitrix24 with their answers) are longer and contain name and phone. The reply
carries them in its body, and the ledger stores them in a table of their own, as text: a sender may
write JSON that Postgres' jsonb rejects.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import orjson
from pydantic import Field, TypeAdapter

from leadline.messages.contract import Reason, readable

#: Maximum number of attempts kept; a worker makes three.
MAX_ATTEMPTS = 5
#: Maximum length of an error, in characters; the reply has the last error in full.
MAX_ERROR = 150
#: Maximum number of calls kept, the newest ones, and length of their JSON; longer ones are dropped.
MAX_CALLS = 10
MAX_CALLS_JSON = 16_000
#: The connector and gateways truncate longer headers; a longer log is dropped.
MAX_HEADER = 1000

#: A command and its answer, as `bitrix24.call_log` builds it.
Call = dict[str, Any]
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
    calls: Annotated[tuple[Any, ...], Field(max_length=MAX_CALLS)] = ()

    def with_calls(self, calls: Sequence[object]) -> "AttemptLog":
        """A copy with these calls added."""
        return replace(self, calls=(*self.calls, *calls)[-MAX_CALLS:])

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
        """The log as JSON, without the calls."""
        return orjson.dumps({"received_ms": self.received_ms, "tries": self.tries}).decode()

    def to_header(self) -> str | None:
        """The log as a header value, in base64 so that no gateway alters it; None if too long."""
        text = base64.urlsafe_b64encode(self.to_json().encode()).decode()
        return text if len(text) <= MAX_HEADER else None


_ADAPTER: TypeAdapter[AttemptLog] = TypeAdapter(AttemptLog)


def parse(value: object) -> AttemptLog:
    """An attempt log from parsed JSON.

    Raises:
        pydantic.ValidationError: invalid content.
    """
    return _ADAPTER.validate_python(value)


def calls_to_text(calls: object) -> str | None:
    """The calls of a reply as the ledger stores them; None if none, too many or too long."""
    if not isinstance(calls, list) or not 0 < len(calls) <= MAX_CALLS:
        return None
    try:
        text = orjson.dumps(calls).decode()
    except orjson.JSONEncodeError:  # nested too deeply
        return None
    return text if len(text) <= MAX_CALLS_JSON else None


def calls_from_text(text: str | None) -> list[Call]:
    """The calls that the ledger has stored."""
    calls = orjson.loads(text) if text else []
    return [call for call in calls if isinstance(call, dict)]


def from_header(value: str | None) -> AttemptLog | None:
    """The attempt log from a header; None if it is missing or invalid."""
    if value is None:
        return None
    try:
        return _ADAPTER.validate_json(base64.urlsafe_b64decode(value))
    except ValueError:  # the errors of pydantic and base64 are subclasses
        return None
