"""RESULTS.md and its plots, from the data of the sections."""

import json
from collections.abc import Iterable
from pathlib import Path

from benchmarks import backlog, burst, cold, drain, growth, idle, queues, writes
from benchmarks.figures import table
from benchmarks.sections import Chapter, Data, Expectation, Section

#: All sections, in the order of the report.
SECTIONS: dict[str, Section] = {
    module.SECTION.name: module.SECTION
    for module in (writes, idle, drain, burst, queues, cold, growth, backlog)
}

_HEAD = """\
# Results

Written by `make bench`; what it measures and how to read it: [README.md](README.md). Figures are
medians with [lowest..highest] of interleaved repeats. Ratios within one run say more than absolute
figures, and these more than figures of different machines.
"""

#: Folder of data and plots, next to the report.
RESULTS = "results"
_OF_EACH = ("load before", "started", "took")


def data_file(folder: Path, section: str) -> Path:
    """The data file of a section."""
    return folder / RESULTS / f"{section}.json"


def write(folder: Path) -> Path:
    """RESULTS.md in this folder, from the data of every measured section."""
    measured: dict[str, Data] = {}
    for name in SECTIONS:
        path = data_file(folder, name)
        if path.exists():
            measured[name] = json.loads(path.read_text(encoding="utf-8"))
    chapters = {name: SECTIONS[name].render(found["data"]) for name, found in measured.items()}
    for chapter in chapters.values():
        for name, svg in chapter.plots.items():
            (folder / RESULTS / name).write_text(svg, encoding="utf-8")
    parts = [_HEAD, _conditions(measured), _expectations_table(chapters)]
    for name, chapter in chapters.items():
        images = (f"\n![{plot}]({RESULTS}/{plot})\n" for plot in chapter.plots)
        parts.append(f"## {SECTIONS[name].title}\n\n{chapter.text}{''.join(images)}")
    path = folder / "RESULTS.md"
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _conditions(measured: dict[str, Data]) -> str:
    """Facts that all sections share, then a table of those that differ."""
    abouts = {name: found["about"] for name, found in measured.items()}
    fields = list(dict.fromkeys(field for about in abouts.values() for field in about))
    values = {field: {about.get(field, "") for about in abouts.values()} for field in fields}
    apart = [field for field in fields if len(values[field]) > 1 or field in _OF_EACH]
    lines = [f"- {field}: {values[field].pop()}" for field in fields if field not in apart]
    rows = [(name, *(about.get(field, "") for field in apart)) for name, about in abouts.items()]
    return "\n".join(lines) + "\n\n" + table(("section", *apart), rows)


def _expectations_table(chapters: dict[str, Chapter]) -> str:
    rows = [
        (name, one.what, one.bound, one.measured, "met" if one.is_met else "**not met**")
        for name, one in _all_expectations(chapters)
    ]
    head = ("section", "what", "expected", "measured", "")
    return f"## Expectations\n\n{table(head, rows)}" if rows else ""


def _all_expectations(chapters: dict[str, Chapter]) -> Iterable[tuple[str, Expectation]]:
    return ((name, one) for name, chapter in chapters.items() for one in chapter.expectations)
