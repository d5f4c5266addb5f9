"""Two kinds of plots as SVG: bars with their spread, and lines over time or size."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

from benchmarks.rendering.figures import Figure

#: The image and its margins, in pixels; labels are written into the margins.
_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 60, 50
#: Distinguishable without red-green vision (Paul Tol's "bright" scheme).
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
_INNER_W = _WIDTH - _LEFT - _RIGHT
_INNER_H = _HEIGHT - _TOP - _BOTTOM

Groups = Mapping[str, Mapping[str, Figure]]
Lines = Mapping[str, Sequence[tuple[float, float]]]


def bars(title: str, unit: str, groups: Groups) -> str:
    """A group of bars for each name, a bar for each of its figures; a whisker shows the spread."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    top = max(figure.highest for group in groups.values() for figure in group.values())
    scale = _Axis(0, top)
    slot = _INNER_W / len(groups)
    bar_width = slot * 0.8 / len(names)  # a fifth of each slot stays empty
    parts = [*_frame(title, unit, scale), *_legend(names)]
    for index, (label, group) in enumerate(groups.items()):
        left = _LEFT + slot * index + slot * 0.1
        # In two rows, so that long names do not run into each other.
        label_y = _HEIGHT - _BOTTOM + 18 + 15 * (index % 2)
        parts.append(_text(left + slot * 0.4, label_y, label, "middle"))
        for name, figure in group.items():
            x = left + bar_width * names.index(name)
            y = scale.y(figure.median)
            colour = _colour(names.index(name))
            height = _HEIGHT - _BOTTOM - y
            # A tenth of its width stays empty beside each bar.
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{bar_width * 0.9:.1f}" height="{height:.1f}"'
                f' fill="{colour}"/>'
            )
            middle = x + bar_width * 0.45
            parts.append(_line(middle, scale.y(figure.lowest), middle, scale.y(figure.highest)))
    return _svg(parts)


def lines(title: str, unit: str, x_unit: str, series: Lines) -> str:
    """A line for each name through its points."""
    xs = [x for points in series.values() for x, _ in points]
    scale = _Axis(0, max(y for points in series.values() for _, y in points))
    x_span = (max(xs) - min(xs)) or 1

    def place(point: tuple[float, float]) -> str:
        return f"{_LEFT + (point[0] - min(xs)) / x_span * _INNER_W:.1f},{scale.y(point[1]):.1f}"

    parts = [*_frame(title, unit, scale), *_legend(list(series))]
    for number, points in enumerate(series.values()):
        path = " ".join(map(place, points))
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{_colour(number)}" stroke-width="2"/>'
        )
    label_y = _HEIGHT - _BOTTOM + 18
    parts += [
        _text(_LEFT, label_y, f"{min(xs):,.4g}", "middle"),
        _text(_WIDTH - _RIGHT, label_y, f"{max(xs):,.4g}", "end"),
        _text(_LEFT + _INNER_W / 2, label_y, x_unit, "middle"),
    ]
    return _svg(parts)


class _Axis:
    """The vertical axis: maps values to y coordinates, and has tick marks at round values."""

    def __init__(self, low: float, high: float) -> None:
        # A power of ten, or a half or a quarter of it if that would give too few marks.
        step = 10.0 ** floor(log10((high - low) or 1))
        self.step: float = step if (high - low) / step > 4 else step / 2
        if (high - low) / self.step < 3:
            self.step /= 2
        steps = ceil(high / self.step) or 1  # one if every value is 0
        self.high = steps * self.step
        self.low = low

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - share * _INNER_H

    def marks(self) -> list[float]:
        return [
            self.low + self.step * n for n in range(round((self.high - self.low) / self.step) + 1)
        ]


def _frame(title: str, unit: str, scale: _Axis) -> list[str]:
    parts = [_text(_LEFT, 20, f"{title} ({unit})", "start", bold=True)]
    for mark in scale.marks():
        y = scale.y(mark)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "#dddddd"))
        parts.append(_text(_LEFT - 6, y + 4, f"{mark:,g}", "end"))
    return parts


def _legend(names: Sequence[str]) -> list[str]:
    parts: list[str] = []
    x = float(_LEFT)
    for number, name in enumerate(names):  # a letter is about 7.5 pixels wide
        parts.append(f'<rect x="{x:.0f}" y="32" width="10" height="10" fill="{_colour(number)}"/>')
        parts.append(_text(x + 14, 41, name, "start"))
        x += 14 + 7.5 * len(name) + 16
    return parts


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#333333") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _svg(parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
