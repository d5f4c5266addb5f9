"""What the cluster laboratory draws and measures; `make test-clusters` plays a round."""

import itertools

from tests.clusters.injections import FAULTS
from tests.clusters.lab import draw
from tests.clusters.pauses import longest


def test_each_cluster_has_at_most_one_faulty_node_at_a_time() -> None:
    for seed in range(100):
        busy: dict[str, list[tuple[float, float]]] = {}
        for planned in draw(seed, seconds=600):
            busy.setdefault(planned.fault.target, []).append(
                (planned.at_s, planned.at_s + planned.seconds)
            )
        assert busy.keys() <= {"rabbitmq", "redis", "postgres", "hosts"}
        for windows in busy.values():
            assert all(end < begin for (_, end), (begin, _) in itertools.pairwise(windows))


def test_every_fault_is_drawn() -> None:
    names = {planned.fault.name for seed in range(20) for planned in draw(seed, seconds=600)}
    assert names == set(FAULTS)


def test_a_pause_lasts_until_the_next_success_or_the_end() -> None:
    assert longest([11, 12, 17, 18], (10, 20)) == 5
    assert longest([11, 12], (10, 20)) == 8
    assert longest([5, 18, 30], (10, 20)) == 8
    assert longest([], (10, 20)) == 10
