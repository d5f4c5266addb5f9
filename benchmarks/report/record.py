"""Writes RESULTS.md and its plots from the data of the sections."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.rendering.figures import table
from benchmarks.report.comparison import TOLERANCE, Comparison, compare, comparison_table
from benchmarks.scale import QUICK
from benchmarks.sections import (
    backlog,
    burst,
    cold,
    drain,
    footprint,
    growth,
    latency,
    queues,
    writes,
)
from benchmarks.sections.section import Chapter, Data, Expectation, Section

#: All sections, in the order of the report.
SECTIONS: dict[str, Section] = {
    module.SECTION.name: module.SECTION
    for module in (writes, latency, footprint, drain, burst, queues, cold, growth, backlog)
}

_HEAD = """\
# Results

Written by `make bench`; what it measures and how to read it: [README.md](README.md). Figures are
medians with [lowest..highest] of interleaved repeats. Ratios within one run say more than absolute
figures, and these more than figures of different machines.
"""

#: Folder of data and plots, next to the report.
RESULTS = "results"
#: Folder in RESULTS with the data that the last full run of a section replaced.
PREVIOUS = "previous"
#: Facts shown per section, even if all sections have the same.
_PER_SECTION = ("load before", "started", "took")


def data_file(folder: Path, section: str) -> Path:
    """The data file of a section."""
    return folder / RESULTS / f"{section}.json"


def keep_previous(folder: Path, section: str) -> None:
    """Move the data of a section to PREVIOUS, with which the next report compares."""
    recorded = data_file(folder, section)
    if recorded.exists():
        previous = folder / RESULTS / PREVIOUS
        previous.mkdir(exist_ok=True)
        recorded.replace(previous / recorded.name)


def read(folder: Path) -> dict[str, Data]:
    """The data in this folder of every section that has been measured."""
    paths = {name: folder / f"{name}.json" for name in SECTIONS}
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.exists()
    }


def write(folder: Path, last: Path | None = None) -> Path:
    """Write RESULTS.md in this folder from the data of every measured section; returns its path.

    Figures are compared with the data in the folder `last`, by default PREVIOUS.
    """
    measured = read(folder / RESULTS)
    earlier = read(last or folder / RESULTS / PREVIOUS)
    chapters = {name: SECTIONS[name].render(found["data"]) for name, found in measured.items()}
    compared = {
        name: compare(
            chapters[name].measurements, SECTIONS[name].render(found["data"]).measurements
        )
        for name, found in earlier.items()
        if name in chapters
    }
    for chapter in chapters.values():
        for name, svg in chapter.plots.items():
            (folder / RESULTS / name).write_text(svg, encoding="utf-8")
    quick = {name for name, found in measured.items() if _is_quick(found)}
    parts = [
        _HEAD,
        _conditions(measured),
        _expectations_table(chapters, quick),
        _regressions(compared, quick),
    ]
    for name, section in SECTIONS.items():
        parts.append(f"## {section.title}\n")
        if name not in chapters:
            parts.append("Not measured yet.\n")
            continue
        chapter = chapters[name]
        images = (f"\n![{plot}]({RESULTS}/{plot})\n" for plot in chapter.plots)
        parts.append(f"{chapter.text}{''.join(images)}")
        if name in compared:
            heading = f"### Next to {_record(earlier[name])}\n"
            is_judged = name not in quick
            parts += [heading, comparison_table(compared[name], is_judged=is_judged)]
    path = folder / "RESULTS.md"
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _is_quick(found: Data) -> bool:
    return bool(found["about"]["scale"] == QUICK.name)


def _record(found: Data) -> str:
    about = found["about"]
    return f"the last record: {about['commit']}, {about['started']}, {about['machine']}"


def _conditions(measured: dict[str, Data]) -> str:
    """The facts that all sections share, then a table of those that differ."""
    facts_by_section = {name: found["about"] for name, found in measured.items()}
    fields = list(dict.fromkeys(field for facts in facts_by_section.values() for field in facts))
    values = {
        field: {facts.get(field, "") for facts in facts_by_section.values()} for field in fields
    }
    differing = [field for field in fields if len(values[field]) > 1 or field in _PER_SECTION]
    # Of the shared ones, each set has one value.
    lines = [f"- {field}: {values[field].pop()}" for field in fields if field not in differing]
    rows = [
        (name, *(facts.get(field, "") for field in differing))
        for name, facts in facts_by_section.items()
    ]
    return "\n".join(lines) + "\n\n" + table(("section", *differing), rows)


def _expectations_table(chapters: dict[str, Chapter], quick: set[str]) -> str:
    rows = [
        (
            name,
            expectation.what,
            expectation.bound,
            expectation.measured,
            _verdict(expectation, is_quick=name in quick),
        )
        for name, expectation in _all_expectations(chapters)
    ]
    head = ("section", "what", "expected", "measured", "")
    return f"## Expectations\n\n{table(head, rows)}" if rows else ""


def _verdict(expectation: Expectation, *, is_quick: bool) -> str:
    if is_quick and not expectation.at_any_scale:
        return "not judged (quick)"
    return "met" if expectation.is_met else "**not met**"


def _all_expectations(chapters: dict[str, Chapter]) -> Iterable[tuple[str, Expectation]]:
    return (
        (name, expectation)
        for name, chapter in chapters.items()
        for expectation in chapter.expectations
    )


def _regressions(compared: dict[str, list[Comparison]], quick: set[str]) -> str:
    """The ratios that got worse, of all sections that have an earlier record."""
    judged = {name: pairs for name, pairs in compared.items() if name not in quick}
    if not judged:
        return "## Regressions\n\nNo full run with an earlier record: nothing to compare.\n"
    bound = f"by more than {TOLERANCE:.0%}, beyond both runs' spread"
    worse = list(_regression_lines(judged))
    text = "\n".join(worse) if worse else "None."
    sections = ", ".join(judged)
    return f"## Regressions\n\nRatios that got worse {bound} ({sections}):\n\n{text}\n"


def _regression_lines(judged: dict[str, list[Comparison]]) -> Iterator[str]:
    for name, pairs in judged.items():
        for pair in pairs:
            if pair.is_regression and pair.last is not None:
                now, last = (
                    measurement.figure.text(measurement.digits)
                    for measurement in (pair.now, pair.last)
                )
                yield f"- {name}: {pair.now.what}: {now}, last {last}"
