"""Traces of histories, played in a process that does nothing else."""

from collections.abc import Sequence
from contextlib import closing

from tests.simulation.dangers import draw
from tests.simulation.play import Player


def traces(seeds: Sequence[int]) -> dict[int, str]:
    """The traces of these histories, played in this order."""
    with closing(Player()) as player:
        return {seed: player.play(draw(seed)).trace() for seed in seeds}
