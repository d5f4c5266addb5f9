"""`leadline completion`: completion of commands and options in the shell, by typer.

typer itself offers it as options that write into the user's files; here they are not needed.
"""

import os
from typing import Annotated, Literal

import typer
from typer._completion_classes import completion_init
from typer._completion_shared import get_completion_script

from leadline.cli.output import print_line

PROGRAM = "leadline"
#: The variable by which a shell asks for completions.
VARIABLE = "_LEADLINE_COMPLETE"

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the completion for a shell.

    Examples:
        source <(leadline completion bash)
        leadline completion zsh > ~/.zfunc/_leadline
        leadline completion fish > ~/.config/fish/completions/leadline.fish
    """
    print_line(get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell))


def prepare() -> None:
    """Set typer up to answer the shell, if the shell asks for completions."""
    if VARIABLE in os.environ:
        completion_init()
