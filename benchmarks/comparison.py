"""The figures of a run next to those of the last recorded one."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.figures import table
from benchmarks.sections import Measurement

#: A ratio may get worse by this share before it is marked.
WITHIN = 0.10


@dataclass(frozen=True)
class Compared:
    """A measurement, and the same one of the last record, if that has it."""

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
        """Whether it is a ratio that got worse by more than WITHIN, beyond both runs' spread.

        Only ratios are judged: other figures depend on the machine and its load.
        """
        if self.last is None or self.change is None or self.now.unit:
            return False
        now, last = self.now.figure, self.last.figure
        if self.now.more_is_better:
            return self.change < -WITHIN and now.highest < last.lowest
        return self.change > WITHIN and now.lowest > last.highest


def compare(now: Iterable[Measurement], last: Iterable[Measurement]) -> list[Compared]:
    """Pair the measurements of two runs by name."""
    by_name = {one.what: one for one in last}
    return [Compared(one, by_name.get(one.what)) for one in now]


def comparison_table(compared: Iterable[Compared], *, is_judged: bool) -> str:
    """One line for each measurement; regressions are marked if the run is judged."""
    lines = [
        (
            one.now.what,
            _text(one.now),
            _text(one.last) if one.last else "not measured",
            "" if one.change is None else f"{one.change:+.0%}",
            "**worse**" if is_judged and one.is_regression else "",
        )
        for one in compared
    ]
    return table(("figure", "this run", "last record", "change", ""), lines)


def _text(one: Measurement) -> str:
    figure = one.figure
    is_single = figure.lowest == figure.highest
    text = f"{figure.median:,.{one.digits}f}" if is_single else figure.text(one.digits)
    return f"{text} {one.unit}".strip()
