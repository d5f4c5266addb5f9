"""What belongs together across processes: the correlation id and the W3C trace context; and who
asks for it.

They arrive by HTTP header, travel in AMQP properties and in the work queue, and stand in every
log line.
"""

import random
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trace:
    """One user's request and all that follows from it."""

    correlation_id: str
    #: https://www.w3.org/TR/trace-context/: version-traceid-parentid-flags
    traceparent: str


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)
_caller: ContextVar[str] = ContextVar("caller", default="")


def begin(correlation_id: str | None = None, traceparent: str | None = None) -> Trace:
    """Make this the current trace; what is missing or malformed is made anew."""
    return resume(made(correlation_id, traceparent))


def made(correlation_id: str | None, traceparent: str | None) -> Trace:
    """The trace of somebody who sent these; what is missing or malformed is made anew."""
    if not traceparent or not _is_traceparent(traceparent):
        ids = f"{random.getrandbits(192):048x}"
        traceparent = f"00-{ids[:32]}-{ids[32:]}-01"
    if not correlation_id or not _is_correlation_id(correlation_id):
        correlation_id = traceparent[3:35]
    return Trace(correlation_id, traceparent)


def resume(trace: Trace) -> Trace:
    """Make this the current trace of this thread or turn."""
    _current.set(trace)
    return trace


def current() -> Trace:
    """The trace that `begin` made in this thread or turn, else a new one."""
    return _current.get() or begin()


def correlation_id() -> str | None:
    """What log lines name; None where nothing has begun."""
    trace = _current.get()
    return trace.correlation_id if trace else None


def act_as(caller: str) -> None:
    """Name who has this thread or turn do what it does: log lines and the ledger say so."""
    _caller.set(caller)


def caller() -> str:
    """Who that is: the name of a key, of an operator or a process; "" where nobody is known."""
    return _caller.get()


def _is_correlation_id(text: str) -> bool:
    """Whether AMQP can carry it: a short string has 255 bytes."""
    return len(text) <= 128 and text.isascii() and text.isprintable()


def _is_traceparent(text: str) -> bool:
    parts = text.split("-")
    if [len(part) for part in parts[:4]] != [2, 32, 16, 2] or len(parts) != 4:
        return False
    return all(c in "0123456789abcdef" for part in parts for c in part) and parts[0] != "ff"
