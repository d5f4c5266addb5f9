"""The interface of a section: it measures plain data and renders its chapter."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


@dataclass
class Chapter:
    """The chapter of a section: Markdown, plots (SVG) by file name, expectations."""

    text: str
    plots: dict[str, str] = field(default_factory=dict)
    expectations: list[Expectation] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """One part of the benchmark, which can run alone."""

    name: str
    title: str
    #: Measures in a temporary folder.
    measure: Callable[[Scale, Path], Data]
    render: Callable[[Data], Chapter]
