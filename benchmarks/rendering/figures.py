"""Medians and spreads for the report."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True)
class Figure:
    """The median and the spread of one measurement's repeats."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Figure":
        """The figure of one or more values."""
        ordered = sorted(values)
        return cls(median(ordered), ordered[0], ordered[-1])

    def text(self, digits: int = 0) -> str:
        """`1,234 [1,200..1,300]`, with this many digits after the point."""
        return f"{self.median:,.{digits}f} [{self.lowest:,.{digits}f}..{self.highest:,.{digits}f}]"


def percentile(values: Iterable[float], percent: int) -> float:
    """The percentile of the values."""
    all_values = list(values)
    if len(all_values) == 1:
        return all_values[0]
    return quantiles(all_values, n=100, method="inclusive")[percent - 1]


def table(head: Iterable[str], lines: Iterable[Iterable[object]]) -> str:
    """A Markdown table; first column left-aligned, figures right-aligned."""
    names = list(head)
    ruler = ["---", *("---:" for _ in names[1:])]
    rows = [names, ruler, *([str(cell) for cell in line] for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in rows) + "\n"
