"""A short round of the laboratory, always the same; `make faults` plays longer, random ones."""

import pytest

from tests.faults import schedule
from tests.faults.bench import Bench
from tests.faults.lab import play_round


@pytest.mark.slow("plays rounds of faults in real time")
def test_every_promise_holds_once_faults_have_ended(bench: Bench) -> None:
    outcome = play_round(bench, seed=9, seconds=15)
    assert outcome.schedule
    assert outcome.acknowledged, "how many depends on the machine"


def test_a_seed_determines_the_whole_schedule() -> None:
    first, again, other = (list(map(str, schedule.draw(seed, seconds=60))) for seed in (5, 5, 6))
    assert first == again
    assert first != other
