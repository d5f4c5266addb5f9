"""Writes the figures in both READMEs from the recorded data."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rendering.figures import Figure, percentile
from benchmarks.report import record
from benchmarks.sections import footprint
from benchmarks.sections.section import Data

_CONNECTIONS = 16
#: Matches the rows below this head, up to the next empty line.
_TABLE = r"(?<=\| \| {head} \|\n\|---\|---\|\n).*?(?=\n\n)"


@dataclass(frozen=True)
class Language:
    """How a README writes numbers and rows."""

    readme: str
    #: The head of the column with the figures: its word for `median`.
    median: str
    number: Callable[[float, int], str]
    #: By name: the subject and the text of a row, with the figures as fields.
    rows: dict[str, tuple[str, str]]


def _english(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def _russian(value: float, digits: int) -> str:
    """Spaces between thousands if there are five digits or more, and a decimal comma."""
    separated = f"{value:,.{digits}f}" if abs(value) >= 10_000 else f"{value:.{digits}f}"
    return separated.replace(",", " ").replace(".", ",")


LANGUAGES = (
    Language(
        "README.md",
        "median",
        _english,
        {
            "write": (
                "`POST /users`, one process, {connections} connections",
                (
                    "{rate} per second, {ratio} of the rate of a hello-world function under the"
                    " same server"
                ),
            ),
            "latency": ("from a POST to its lead on an idle system", "{ms} ms"),
            "burst": (
                (
                    "{users} users at once, the portal's limits off, until the last reply is in the"
                    " ledger"
                ),
                "{seconds} s",
            ),
            "drain": (
                "{users} waiting users at the portal's standard limits",
                "{seconds} s; the ideal is {ideal} s",
            ),
            "cold": (
                "cold start of `create_user`, until the first user is written",
                "{ratio} times that of a hello-world function",
            ),
            "footprint": (
                "the whole idle system, with its servers and the emulator",
                "{memory} MiB, {cpu}% of a core",
            ),
        },
    ),
    Language(
        "README.ru.md",
        "медиана",
        _russian,
        {
            "write": (
                "`POST /users`, один процесс, {connections} соединений",
                "{rate} в секунду — {ratio} от скорости функции hello-world на том же сервере",
            ),
            "latency": ("от POST до лида в системе без нагрузки", "{ms} мс"),
            "burst": (
                (
                    "{users} пользователей разом, лимиты портала отключены, до последнего ответа в"
                    " журнале"
                ),
                "{seconds} с",
            ),
            "drain": (
                "{users} ждущих пользователей при стандартных лимитах портала",
                "{seconds} с; идеал — {ideal} с",
            ),
            "cold": (
                "холодный старт `create_user` до первого записанного пользователя",
                "в {ratio} раза дольше, чем у функции hello-world",
            ),
            "footprint": (
                "вся система без нагрузки, вместе с её серверами и эмулятором",
                "{memory} МиБ, {cpu} % одного ядра",
            ),
        },
    ),
)


def update(checkout: Path, results: Path) -> list[Path]:
    """Rewrite the figures of both READMEs; returns those that changed."""
    recorded = record.read(results)
    changed = []
    for language in LANGUAGES:
        path = checkout / language.readme
        before = path.read_text(encoding="utf-8")
        after = with_figures(before, language, recorded)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path)
    return changed


def with_figures(text: str, language: Language, recorded: dict[str, Data]) -> str:
    """The text of a README whose table contains the figures of these data."""
    rows = "\n".join(_rows(language, recorded))
    pattern = re.compile(_TABLE.format(head=language.median), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{language.readme} needs one table headed {language.median}")
    return pattern.sub(lambda _: rows, text)


def _rows(language: Language, recorded: dict[str, Data]) -> Iterator[str]:
    """A row for each measured section."""
    for name, (section, figures_of) in _FIGURES.items():
        if section in recorded:
            figures = {
                field: language.number(value, digits)
                for field, (value, digits) in figures_of(recorded[section]["data"]).items()
            }
            subject, text = (part.format(**figures) for part in language.rows[name])
            yield f"| {subject} | {text} |"


#: Values with their digits after the point.
Figures = dict[str, tuple[float, int]]


def _write(data: Data) -> Figures:
    rates: dict[str, dict[int, float]] = {"create": {}, "hello": {}}
    for run in data["runs"]:
        if run["connections"] == _CONNECTIONS and run["target"] in rates:
            rates[run["target"]][run["repeat"]] = run["rate"]
    create, hello = rates["create"], rates["hello"]
    ratio = Figure.of(rate / hello[repeat] for repeat, rate in create.items())
    return {
        "connections": (_CONNECTIONS, 0),
        "rate": (Figure.of(create.values()).median, 0),
        "ratio": (ratio.median, 2),
    }


def _latency(data: Data) -> Figures:
    return {"ms": (percentile(data["lead_ms"], 50), 0)}


def _burst(data: Data) -> Figures:
    took = Figure.of(run["took_s"] for run in data["runs"])
    return {"users": (data["users"], 0), "seconds": (took.median, 1)}


def _drain(data: Data) -> Figures:
    return {
        "users": (round(data["users"], -3), 0),  # the load generator sends a few more
        "seconds": (data["took_s"], 0),
        "ideal": (data["ideal_s"], 1),
    }


def _cold(data: Data) -> Figures:
    ms: dict[str, dict[int, float]] = {"create_user": {}, "hello": {}}
    for run in data["runs"]:
        if run["function"] in ms:
            ms[run["function"]][run["repeat"]] = run["ms"]
    hello = ms["hello"]
    ratio = Figure.of(took / hello[repeat] for repeat, took in ms["create_user"].items())
    return {"ratio": (ratio.median, 1)}


def _footprint(data: Data) -> Figures:
    return {
        "memory": (footprint.total(data, "pss_mib"), 0),
        "cpu": (footprint.total(data, "cpu_percent"), 1),
    }


#: By row: the section and its figures, in the order of the table.
_FIGURES: dict[str, tuple[str, Callable[[Data], Figures]]] = {
    "write": ("writes", _write),
    "latency": ("latency", _latency),
    "burst": ("burst", _burst),
    "drain": ("drain", _drain),
    "cold": ("cold", _cold),
    "footprint": ("footprint", _footprint),
}
