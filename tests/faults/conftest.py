"""One bench for all tests of this folder: a system whose servers are behind proxies."""

from collections.abc import Iterator

import pytest

from tests.faults.bench import Bench
from tests.faults.idle import await_idle


@pytest.fixture(scope="package")
def running_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The bench of these tests, which starts once."""
    bench = Bench(tmp_path_factory.mktemp("bench"))
    try:
        bench.start()
        yield bench
    finally:
        bench.end()


@pytest.fixture
def bench(running_bench: Bench) -> Iterator[Bench]:
    """The running bench, idle before the test and repaired afterwards."""
    await_idle(running_bench)
    try:
        yield running_bench
    finally:
        running_bench.repair()
