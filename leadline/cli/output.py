"""Results on stdout, as text or JSON; notes, errors and progress on stderr."""

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.text import Text

#: Exit code of a command that ran, and has findings that need attention.
FINDINGS = 1
#: Columns of a table when stdout is no terminal.
_PIPED_WIDTH = 200

Json = Annotated[bool, typer.Option("--json", help="Output JSON.")]


def print_json(value: Any) -> None:
    """Print one value as a line of JSON."""
    sys.stdout.buffer.write(orjson.dumps(value, default=str, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns' names."""
    from rich.table import Table  # noqa: PLC0415 - JSON needs no table

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(_cell, row))
    _console().print(table)


def print_facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print a name and its value on each line."""
    from rich.table import Table  # noqa: PLC0415 - JSON needs no table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    for name, value in pairs:
        table.add_row(name, _cell(value))
    _console().print(table)


def print_line(text: str) -> None:
    """Print a line of the result; a reader of a pipe gets it at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def print_note(text: str) -> None:
    """Print a line to stderr."""
    sys.stderr.write(f"{text}\n")


def print_error(text: str) -> None:
    """Print an error to stderr, a sentence."""
    print_note(f"leadline: {text}")


def progress_bar() -> "Progress":
    """A progress bar on stderr; invisible unless stderr is a terminal."""
    from rich.console import Console  # noqa: PLC0415 - only long commands have one
    from rich.progress import (  # noqa: PLC0415 - the same
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        # Lines for a terminal go above the bar; piped output stays in the pipe.
        redirect_stdout=sys.stdout.isatty(),
    )


def printable(value: object) -> str:
    """The value as text, without control characters that a terminal would execute."""
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
    return "".join("�" if unicodedata.category(char) == "Cc" else char for char in str(value))


def _cell(value: object) -> "Text":
    from rich.text import Text  # noqa: PLC0415 - JSON needs no table

    return Text(printable(value), overflow="fold")


def _console() -> "Console":
    from rich.console import Console  # noqa: PLC0415 - JSON needs no table

    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, width=_PIPED_WIDTH)
    return console
