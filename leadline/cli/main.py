"""The program `leadline`: its options, and the process around a command."""

import os
import pwd
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from leadline import __version__
from leadline.cli.commands import HELP_OPTIONS, LazyGroup
from leadline.cli.output import print_line
from leadline.cli.terminal import completion, failures

app = typer.Typer(
    name=completion.PROGRAM,
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would show credentials and personal data.
    pretty_exceptions_enable=False,
    context_settings=HELP_OPTIONS,
    epilog=(
        "Connections come from the same secrets and variables as the functions' (DATABASE_URL,"
        " AMQP_URL, REDIS_URL, BITRIX_WEBHOOK_URL); if none is set, from the local run."
        "\n\nExit codes: 0 success, 1 findings or an unknown id, 2 wrong usage or not confirmed,"
        " 3 a server is unreachable or a setting is wrong, 130 Ctrl-C."
        "\n\nleadline help COMMAND shows examples."
    ),
)


def _print_version(is_wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if is_wanted:
        print_line(f"leadline {__version__}")
        raise typer.Exit


@app.callback()
def configure(
    ctx: typer.Context,
    *,
    state: Annotated[
        Path | None,
        typer.Option(help="State folder of the local run (make run) to use."),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback prints and ends
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Check sync status, diagnose and fix problems."""
    if ctx.invoked_subcommand in {"help", "completion"}:
        return
    from leadline.cli import local_system  # noqa: PLC0415 - help and completion need no system
    from leadline.runtime.telemetry import trace_context  # noqa: PLC0415 - the same
    from leadline.settings import settings  # noqa: PLC0415 - the same

    _quiet_logs()
    local_system.use(state)
    settings()  # an invalid one ends every command, as it keeps every process from starting
    trace_context.set_caller(_operator())


def main() -> None:
    """Run a command; an error becomes one sentence on stderr, or JSON, and an exit code."""
    completion.prepare()
    try:
        code = failures.run(
            lambda: app(
                prog_name=completion.PROGRAM,
                complete_var=completion.VARIABLE,
                standalone_mode=False,
            )
        )
    except BrokenPipeError:
        # The reader has closed the pipe; Python must not fail when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def _operator() -> str:
    """The operator in the audit trail: USER@HOST of this process, at most 100 characters."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may have no name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"[:100]


def _quiet_logs() -> None:
    """Log errors only, and to stderr: a command itself says what it did, and what was wrong."""
    import logging  # noqa: PLC0415 - help and completion log nothing

    import structlog  # noqa: PLC0415 - the same

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    logging.getLogger("pika").setLevel(logging.CRITICAL)
