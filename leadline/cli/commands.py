"""The table of commands. A command's module is imported when the command runs, not before.

Listing and completing commands therefore cost no import of Postgres, RabbitMQ or Redis.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
#: The line of a docstring after which its examples begin.
_EXAMPLES = "\nExamples:\n"

#: The panels under which the list of commands shows them.
_LOOK = "Look"
_FIX = "Fix"
_DATA = "Data"
_SETUP = "Set up"


@dataclass(frozen=True, slots=True)
class Entry:
    """The module of a command, and its description in the list of commands."""

    module: str
    #: The name of a function, or of the Typer application of a group.
    attribute: str
    #: The heading under which it is listed.
    panel: str
    #: The first sentence of its help.
    summary: str


def _entry(module: str, attribute: str, panel: str, summary: str) -> Entry:
    return Entry(f"leadline.cli.{module}", attribute, panel, summary)


COMMANDS: dict[str, Entry] = {
    "status": _entry("status", "status", _LOOK, "Show whether everything is in sync."),
    "show": _entry("users.show", "show", _LOOK, "Show a user, and why it is not in the CRM."),
    "users": _entry("users.listing", "users", _LOOK, "Find users."),
    "failed": _entry("users.failed", "failed", _LOOK, "List users whose last write failed."),
    "held": _entry(
        "first_match.held",
        "held",
        _FIX,
        "List users that are held for an operator, or decide about one.",
    ),
    "tail": _entry("tail", "tail", _LOOK, "Follow events as they happen."),
    "audit": _entry("audit", "audit", _LOOK, "Show who wrote what and ran which actions."),
    "open": _entry("open_console", "open_console", _LOOK, "Open the console in a browser."),
    "doctor": _entry("checks.doctor", "doctor", _FIX, "Check every setting and connection."),
    "resync": _entry("users.resync", "resync", _FIX, "Compare users with their leads and fix."),
    "jobs": _entry("jobs", "app", _FIX, "Jobs on many users or dead letters."),
    "dead-letters": _entry("dead_letters", "app", _FIX, "Messages that failed, with the reason."),
    "queues": _entry("queues", "queues", _FIX, "Show queues with wrong arguments, and fix them."),
    "results": _entry("results", "app", _FIX, "Results for other systems: deliveries, replay."),
    "portal": _entry("portal", "app", _FIX, "The portal: check it, pause and resume calls."),
    "reconcile": _entry(
        "recovery.reconcile", "reconcile", _FIX, "Compare all users with all leads."
    ),
    "erase": _entry("erase", "erase", _DATA, "Erase persons for good."),
    "erased": _entry("erase", "erased", _DATA, "Show the receipts of erasures."),
    "plan": _entry(
        "first_match.plan",
        "plan",
        _DATA,
        "Compare all users with all leads, and list what would be written.",
    ),
    "apply": _entry(
        "first_match.apply", "apply", _DATA, "Write what a plan lists, and nothing else."
    ),
    "import": _entry("files.import_users", "import_file", _DATA, "Create users from a file."),
    "export": _entry("files.export", "export", _DATA, "Write all users to stdout."),
    "restore": _entry("recovery.restore", "restore", _DATA, "Restore a dump of Postgres."),
    "restored": _entry(
        "recovery.restored", "restored", _DATA, "Declare that Postgres was restored."
    ),
    "mapping": _entry(
        "checks.mapping", "app", _SETUP, "The field map: check it, write a first one."
    ),
    "keys": _entry("keys", "app", _SETUP, "Keys of clients and operators."),
    "completion": _entry(
        "terminal.completion", "completion", _SETUP, "Print the completion for a shell."
    ),
    "help": _entry("terminal.help_command", "help_command", _SETUP, "Show the help of a command."),
}


class LazyGroup(TyperGroup):
    """The program: it lists commands from the table and loads the one that runs."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.commands = {
            name: TyperCommand(name, help=entry.summary, rich_help_panel=entry.panel)
            for name, entry in COMMANDS.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that these arguments name, loaded."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            # Needed only for a mistyped command.
            from leadline.cli.terminal.suggestions import suggestion  # noqa: PLC0415

            ctx.fail(f"No such command '{args[0]}'. {suggestion(args[0], self.commands)}".strip())
        name, command, remaining_args = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else command, remaining_args


def load(name: str) -> Any:
    """Import a command; returns it with its options and its examples."""
    entry = COMMANDS[name]
    loaded = getattr(import_module(entry.module), entry.attribute)
    if isinstance(loaded, typer.Typer):
        app = loaded
    else:
        app = typer.Typer(add_completion=False, context_settings=HELP_OPTIONS)
        app.command()(loaded)
    command: Any = typer.main.get_command(app)
    command.name = name
    _split_examples(command)
    return command


def _split_examples(command: Any) -> None:
    """Move the examples of each docstring below the options, one a line; reflow the rest."""
    text, _, examples = (command.help or "").partition(_EXAMPLES)
    # The help keeps the line ends of a docstring, which is wider than many terminals.
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    if examples:
        lines = [line.strip() for line in examples.splitlines() if line.strip()]
        command.epilog = "\n".join(["Examples:", *(f"  {line}" for line in lines)])
    for subcommand in getattr(command, "commands", {}).values():
        _split_examples(subcommand)
