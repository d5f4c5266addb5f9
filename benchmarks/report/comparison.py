"""Compares the figures of a run with those of the last recorded run."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.rendering.figures import table
from benchmarks.sections.section import Measurement

#: A ratio may get worse by this share before it is marked.
TOLERANCE = 0.10


@dataclass(frozen=True)
class Comparison:
    """A measurement, and the one of the same name in the last record, if there is one."""

    now: Measurement
    last: Measurement | None

    @property
    def change(self) -> float | None:
        """The median's relative change; None if there is nothing to compare."""
        if self.last is None or not self.last.figure.median:
            return None
        return self.now.figure.median / self.last.figure.median - 1

    @property
    def is_regression(self) -> bool:
        """Whether a ratio got worse by more than TOLERANCE, and beyond the spreads of both runs.

        Only ratios are judged: other figures depend on the machine and its load.
        """
        if self.last is None or self.change is None or self.now.unit:
            return False
        now, last = self.now.figure, self.last.figure
        if self.now.more_is_better:
            return self.change < -TOLERANCE and now.highest < last.lowest
        return self.change > TOLERANCE and now.lowest > last.highest


def compare(now: Iterable[Measurement], last: Iterable[Measurement]) -> list[Comparison]:
    """Pair the measurements of two runs by name."""
    by_name = {measurement.what: measurement for measurement in last}
    return [Comparison(measurement, by_name.get(measurement.what)) for measurement in now]


def comparison_table(compared: Iterable[Comparison], *, is_judged: bool) -> str:
    """One line for each measurement; regressions are marked if the run is judged."""
    lines = [
        (
            row.now.what,
            _text(row.now),
            "not measured" if row.last is None else _text(row.last),
            "" if row.change is None else f"{row.change:+.0%}",
            "**worse**" if is_judged and row.is_regression else "",
        )
        for row in compared
    ]
    return table(("figure", "this run", "last record", "change", ""), lines)


def _text(measurement: Measurement) -> str:
    figure = measurement.figure
    is_single = figure.lowest == figure.highest
    text = (
        f"{figure.median:,.{measurement.digits}f}" if is_single else figure.text(measurement.digits)
    )
    return f"{text} {measurement.unit}".strip()
