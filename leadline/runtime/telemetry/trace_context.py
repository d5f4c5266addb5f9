"""The correlation id, the W3C trace context and the caller of the current request or message.

They arrive in HTTP headers, are passed on in AMQP properties and the work queue, and are in every
log line.
"""

import random
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trace:
    """The ids that a client's request and everything caused by it share."""

    correlation_id: str
    #: https://www.w3.org/TR/trace-context/: version-traceid-parentid-flags
    traceparent: str


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)
_caller: ContextVar[str] = ContextVar("caller", default="")


def begin(correlation_id: str | None = None, traceparent: str | None = None) -> Trace:
    """Make the trace of these headers the current one; missing or malformed parts are generated."""
    return resume(trace_from_headers(correlation_id, traceparent))


def trace_from_headers(correlation_id: str | None, traceparent: str | None) -> Trace:
    """The trace of these headers; missing or malformed parts are generated."""
    if not traceparent or not _is_traceparent(traceparent):
        ids = f"{random.getrandbits(192):048x}"
        traceparent = f"00-{ids[:32]}-{ids[32:]}-01"
    if not correlation_id or not is_correlation_id(correlation_id):
        correlation_id = traceparent[3:35]  # the trace id
    return Trace(correlation_id, traceparent)


def resume(trace: Trace) -> Trace:
    """Make this the current trace of this thread or greenlet."""
    _current.set(trace)
    return trace


def current() -> Trace:
    """The current trace of this thread or greenlet; begins one if there is none."""
    return _current.get() or begin()


def correlation_id() -> str | None:
    """The correlation id of the current trace; None outside of a trace."""
    trace = _current.get()
    return trace.correlation_id if trace else None


def set_caller(caller: str) -> None:
    """Set the caller of this thread or greenlet, for log lines and the ledger."""
    if caller != _caller.get():  # setting takes ten times as long as reading
        _caller.set(caller)


def caller() -> str:
    """The current caller: the name of a key, an operator or a process; "" if unknown."""
    return _caller.get()


def is_correlation_id(text: str) -> bool:
    """Whether this text is at most 128 characters that a header and an AMQP property can hold."""
    return len(text) <= 128 and text.isascii() and text.isprintable()


def _is_traceparent(text: str) -> bool:
    parts = text.split("-")
    if [len(part) for part in parts] != [2, 32, 16, 2]:
        return False
    return all(c in "0123456789abcdef" for part in parts for c in part) and parts[0] != "ff"
