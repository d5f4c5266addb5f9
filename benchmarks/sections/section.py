"""The interface of a section: it measures plain data and renders its chapter."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rendering.figures import Figure
from benchmarks.scale import Scale

#: JSON data.
Data = dict[str, Any]


@dataclass(frozen=True)
class Expectation:
    """An expectation, and what was measured."""

    what: str
    bound: str
    measured: str
    is_met: bool
    #: Whether the small scale of a quick run is enough to judge it.
    at_any_scale: bool = False


@dataclass(frozen=True)
class Measurement:
    """A named figure to compare with the last record; without a unit it is a ratio."""

    what: str
    figure: Figure
    unit: str = ""
    digits: int = 2
    more_is_better: bool = False


@dataclass
class Chapter:
    """The chapter of a section: Markdown, plots (SVG) by file name, expectations, figures."""

    text: str
    plots: dict[str, str] = field(default_factory=dict)
    expectations: list[Expectation] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """A part of the benchmark that can run on its own."""

    name: str
    title: str
    #: Runs the measurement; its files go to a temporary folder.
    measure: Callable[[Scale, Path], Data]
    #: Writes the chapter; data recorded by earlier versions may lack parts.
    render: Callable[[Data], Chapter]
