"""When a paused portal is probed, whatever the clock does."""

import time

import pytest

from leadline.sync.pause import PROBE_STEPS_S, Paused


@pytest.mark.parametrize("clock_set_back_s", [3600, PROBE_STEPS_S[-1] + 1])
def test_a_clock_that_was_set_back_does_not_prolong_a_pause(clock_set_back_s: float) -> None:
    assert Paused(0, "plan", 0, time.time() + clock_set_back_s).next_probe_in_s() == 0


def test_a_probe_waits_for_its_time() -> None:
    now = time.time()
    assert 1 < Paused(now, "plan", 0, now + 2).next_probe_in_s() <= 2
    assert Paused(now, "plan", 0, now - 1).next_probe_in_s() == 0
