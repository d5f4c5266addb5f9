"""What a section of the benchmark is: it measures plain data, and tells what the data says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.scale import Scale

#: What JSON can hold.
Data = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """An expectation, and what was measured."""

    what: str
    bound: str
    measured: str
    is_met: bool


@dataclass
class Chapter:
    """What a section tells: Markdown, plots by file name (SVG), expectations."""

    text: str
    plots: dict[str, str] = field(default_factory=dict)
    judged: list[Judged] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """One part of the benchmark, which can be run alone."""

    name: str
    title: str
    #: Measures in a folder of its own, which is deleted afterwards.
    measure: Callable[[Scale, Path], Data]
    tell: Callable[[Data], Chapter]
