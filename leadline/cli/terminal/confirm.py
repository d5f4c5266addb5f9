"""Confirmation of an action on many users or messages: a question on a terminal, else `--yes`."""

import sys
from typing import Annotated

import typer

from leadline.cli.terminal.failures import NotConfirmed

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")]


def confirm(question: str, *, yes: bool) -> None:
    """Ask an operator to confirm; returns if the answer is yes, or at once with `yes`.

    Raises:
        NotConfirmed: the answer is no, or there is no terminal to ask on.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NotConfirmed(f"{question} Nothing was done: without a terminal, confirm with --yes")
    try:
        is_confirmed = typer.confirm(question, err=True)
    except typer.Abort:
        sys.stderr.write("\n")
        is_confirmed = False
    if not is_confirmed:
        raise NotConfirmed
