"""The interface of a section: it measures plain data and renders its chapter."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
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
    #: Whether the small scale of a quick run can show it.
    at_any_scale: bool = False


@dataclass(frozen=True)
class Measurement:
    """A figure by name, to compare it with the last record; without a unit it is a ratio."""

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
    """One part of the benchmark, which can run alone."""

    name: str
    title: str
    #: Measures in a temporary folder.
    measure: Callable[[Scale, Path], Data]
    #: Accepts older data, which may lack parts.
    render: Callable[[Data], Chapter]
