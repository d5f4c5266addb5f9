"""A process's single objects: created once, closed, replaced in tests and after a fork."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from leadline import process
from leadline.process import per_process, per_process_closing


class Resource:
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
    def resource() -> object:
        time.sleep(0.05)
        return object()

    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(resource())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for running in threads:
        running.join()
    assert len(found) == 8
    assert set(map(id, found)) == {id(resource())}


def test_a_creation_that_failed_is_tried_again() -> None:
    outcomes: list[object] = [OSError(), "made"]

    @per_process
    def resource() -> object:
        outcome = outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    with pytest.raises(OSError):  # noqa: PT011 - it has no text
        resource()
    assert resource() == "made"


def test_only_objects_with_a_close_function_are_closed_and_newest_first() -> None:
    closed: list[str] = []

    @per_process_closing(Resource.close)
    def below() -> Resource:
        return Resource(closed, "below")

    @per_process_closing(Resource.close)
    def above() -> Resource:
        below()
        return Resource(closed, "above")

    @per_process
    def breaker() -> Resource:
        return Resource(closed, "a circuit breaker: its close() resumes calls to the portal")

    with process.fresh():
        breaker()
        above()
    assert closed == ["above", "below"]


def test_a_fresh_process_has_its_own_object_and_the_earlier_one_returns_after_it() -> None:
    @per_process
    def resource() -> object:
        return object()

    first = resource()
    with process.fresh():
        assert resource() is not first
    assert resource() is first
    process.forget(resource)
    assert resource() is not first


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
