"""A process's single objects: created once, closed, replaced in tests and after a fork."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from leadline import process
from leadline.process import per_process, per_process_closing


class Thing:
    """An object that records whether it was closed."""

    def __init__(self, closed: list[str], name: str) -> None:
        self.closed, self.name = closed, name

    def close(self) -> None:
        self.closed.append(self.name)


@pytest.fixture(autouse=True)
def _own_process() -> Iterator[None]:
    with process.fresh():
        yield


def test_an_object_is_created_once_however_many_threads_ask_at_the_same_time() -> None:
    @per_process
    def thing() -> object:
        time.sleep(0.05)
        return object()

    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(thing())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for running in threads:
        running.join()
    assert len(found) == 8
    assert set(map(id, found)) == {id(thing())}


def test_a_creation_that_failed_is_tried_again() -> None:
    outcomes: list[object] = [OSError(), "made"]

    @per_process
    def thing() -> object:
        outcome = outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    with pytest.raises(OSError):  # noqa: PT011 - it has no text
        thing()
    assert thing() == "made"


def test_only_objects_with_a_close_function_are_closed_and_newest_first() -> None:
    closed: list[str] = []

    @per_process_closing(Thing.close)
    def below() -> Thing:
        return Thing(closed, "below")

    @per_process_closing(Thing.close)
    def above() -> Thing:
        below()
        return Thing(closed, "above")

    @per_process
    def breaker() -> Thing:
        return Thing(closed, "a circuit, whose close() resumes calls")

    with process.fresh():
        breaker()
        above()
    assert closed == ["above", "below"]


def test_a_fresh_process_has_its_own_object_and_the_earlier_one_returns_after_it() -> None:
    @per_process
    def thing() -> object:
        return object()

    first = thing()
    with process.fresh():
        assert thing() is not first
    assert thing() is first
    process.forget(thing)
    assert thing() is not first


def test_a_forked_child_inherits_nothing() -> None:
    @per_process
    def pid() -> int:
        return os.getpid()

    assert pid() == os.getpid()
    child = os.fork()
    if child == 0:
        os._exit(0 if pid() == os.getpid() else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert pid() == os.getpid()
