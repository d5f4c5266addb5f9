"""Holds the connections and clients of a process, made once, at first use, and closed together.

A function with `@per_process` makes such an object; every call in a process returns the same one.
`@per_process_closing` also says how to close it. This is the only place for them: no module keeps a
connection, client or counter in a global of its own
(docs/decisions/0019-one-place-for-connections.md).
"""

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class Process:
    """The connections and clients of one process; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # making an object may need another one
        self._objects: dict[Callable[[], Any], Any] = {}
        self._closings: list[Callable[[], object]] = []

    def get(self, make: Callable[[], T], close: Callable[[T], object] | None = None) -> T:
        """The object that `make` makes: made at first use, and again only if making it failed."""
        try:
            found: T = self._objects[make]
        except KeyError:
            with self._lock:
                if make not in self._objects:
                    self._objects[make] = made = make()
                    if close is not None:
                        self._closings.append(functools.partial(close, made))
                found = self._objects[make]
        return found

    def forget(self, make: Callable[[], Any]) -> None:
        """Drop what `make` returned, if anything: the next `get` makes it again."""
        with self._lock:
            self._objects.pop(make, None)

    def objects(self) -> list[Any]:
        """All objects that have been made, the oldest first."""
        with self._lock:
            return list(self._objects.values())

    def close(self) -> None:
        """Close all objects that need it, the newest first: an object may use older ones."""
        while True:
            with self._lock:
                if not self._closings:
                    self._objects.clear()
                    return
                close = self._closings.pop()
            close()


_current = Process()


def per_process(make: Callable[[], T]) -> Callable[[], T]:
    """Decorator: the function is called once in each process; later calls return its result."""
    return _made_once(make, None)


def per_process_closing(
    close: Callable[[T], object],
) -> Callable[[Callable[[], T]], Callable[[], T]]:
    """Decorator: as `per_process`, for an object that must be closed."""
    return lambda make: _made_once(make, close)


def _made_once(make: Callable[[], T], close: Callable[[T], object] | None) -> Callable[[], T]:
    @functools.wraps(make)
    def get() -> T:
        return _current.get(make, close)

    return get


def current() -> Process:
    """The `Process` whose objects `per_process` functions return."""
    return _current


def forget(get: Callable[[], Any]) -> None:
    """Drop what this `per_process` function returned, such as settings that have changed."""
    _current.forget(get.__wrapped__)  # type: ignore[attr-defined]


_start_checks: list[Callable[[], object]] = []


def start_check(check: Callable[[], T]) -> Callable[[], T]:
    """Decorator: a process runs this before it serves; if it raises, the process does not start."""
    _start_checks.append(check)
    return check


def check_start() -> None:
    """Run the start checks of all imported modules; raises what they raise."""
    for check in _start_checks:
        check()


@contextmanager
def fresh() -> Iterator[Process]:
    """Use a new `Process` within this block, as tests do; it is closed at the end."""
    global _current  # noqa: PLW0603 - the only global of connections
    before, _current = _current, Process()
    try:
        yield _current
    finally:
        _current.close()
        _current = before


def _reset_in_child() -> None:
    """Start a forked process without its parent's objects: they can't share a connection."""
    global _current  # noqa: PLW0603 - the only global of connections
    _current = Process()


os.register_at_fork(after_in_child=_reset_in_child)
