"""`leadline help COMMAND`: the same as `leadline COMMAND --help`."""

from typing import Annotated, Any

import typer

from leadline.cli.commands import COMMANDS
from leadline.cli.output import print_line
from leadline.errors import InvalidRequest


def _complete(incomplete: str) -> list[str]:
    """The commands that begin with what was typed so far."""
    return [name for name in COMMANDS if name.startswith(incomplete)]


def help_command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", autocompletion=_complete)
    ] = None,
) -> None:
    """Show the help of a command.

    Examples:
        leadline help
        leadline help failed
        leadline help dead-letters replay
    """
    context: Any = ctx.find_root()
    for word in words or ():
        if not hasattr(context.command, "resolve_command"):
            raise InvalidRequest(f"{context.info_name} has no commands")
        name, command, _ = context.command.resolve_command(context, [word])
        context = typer.Context(command, info_name=name, parent=context)
    print_line(context.get_help())
