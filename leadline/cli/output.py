"""Answers on stdout, for people or machines; all that is no answer on stderr."""

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

#: Something was found that somebody should look at.
FOUND = 1
#: Wide enough for our tables where no terminal sets a width.
_PAPER = 200

Json = Annotated[bool, typer.Option("--json", help="Answer for machines: JSON on stdout.")]


def as_json(value: Any) -> None:
    """One value on one line."""
    sys.stdout.buffer.write(orjson.dumps(value, default=str, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under their columns' names."""
    shown = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        shown.add_row(*(Text(printable(cell), overflow="fold") for cell in row))
    _console().print(shown)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """A name and a value a line."""
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column(style="bold")
    for name, value in pairs:
        shown.add_row(name, Text(printable(value), overflow="fold"))
    _console().print(shown)


def say(text: str) -> None:
    """A line of the answer."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """A line beside the answer."""
    sys.stderr.write(f"{text}\n")


def complain(text: str) -> None:
    """What went wrong, in a sentence."""
    note(f"leadline: {text}")


def progress() -> Progress:
    """A progress bar on stderr; on anything but a terminal it shows nothing."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        # Lines for a terminal go above the bar; what is piped stays in the pipe.
        redirect_stdout=sys.stdout.isatty(),
    )


def printable(value: object) -> str:
    """As text that cannot command a terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, dict | list | tuple):
        value = orjson.dumps(value, default=str).decode()
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return "".join("�" if unicodedata.category(one) == "Cc" else one for one in str(value))


def _console() -> Console:
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, width=_PAPER)
    return console
