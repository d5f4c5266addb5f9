"""The program `leadline`: its commands, and the one place where errors become exit codes.

0: success · 1: done, with findings (differences, failed users, …) · 2: wrong usage ·
3: a server is unreachable or a setting is wrong.
"""

import logging
import os
import pwd
import socket
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import structlog
import typer
from pydantic import ValidationError

from leadline.cli import (
    audit,
    dead_letters,
    doctor,
    export,
    import_users,
    keys,
    local_system,
    portal,
    reconcile,
    restore,
    restored,
    status,
    users,
)
from leadline.cli.output import print_error
from leadline.errors import InvalidRequest, LeadlineError, QueueDefect, UserNotFound
from leadline.runtime.postgres.pool import StatementError
from leadline.runtime.telemetry import trace_context

WRONG_USAGE = 2
UNAVAILABLE = 3
_SCHEMA_MISSING = ("42P01", "42703")
_MIGRATE = "python -m leadline.runtime.postgres.migrate"

app = typer.Typer(
    name="leadline",
    help="Check sync status, diagnose and fix problems.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would show credentials and personal data.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(portal.app, name="portal")
app.add_typer(keys.app, name="keys")
for command in (
    status.status,
    doctor.doctor,
    users.users,
    users.show,
    users.failed,
    users.resync,
    reconcile.reconcile,
    restore.restore,
    restored.restored,
    audit.audit,
):
    app.command()(command)
app.command("import")(import_users.import_file)
app.command()(export.export)


@app.callback()
def configure(
    state: Annotated[
        Path | None,
        typer.Option(help="State folder of the local run (make run) to use."),
    ] = None,
) -> None:
    """Check sync status, diagnose and fix problems.

    Connections come from the same secrets and variables as the functions' (DATABASE_URL, AMQP_URL,
    REDIS_URL, BITRIX_WEBHOOK_URL); if none is set, from the local run.
    """
    _quiet_logs()
    local_system.use(state)
    trace_context.set_caller(_operator())


def main() -> None:
    """Run a command; an error becomes one sentence on stderr, without values, and an exit code."""
    try:
        app()
    except (InvalidRequest, UserNotFound) as error:
        _exit(str(error), WRONG_USAGE)
    except QueueDefect:
        _exit("Redis can't be reached", UNAVAILABLE)
    except LeadlineError as error:
        _exit(str(error), UNAVAILABLE)
    except StatementError as error:
        hint = f": run `{_MIGRATE}`" if error.code in _SCHEMA_MISSING else ""
        _exit(f"Postgres rejected the statement ({error}){hint}", UNAVAILABLE)
    except ValidationError as error:
        names = ", ".join(f"LEADLINE_{'.'.join(map(str, e['loc']))}" for e in error.errors())
        _exit(f"invalid settings: {names.upper()}", UNAVAILABLE)
    except BrokenPipeError:
        # The reader has closed the pipe; Python must not fail when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _operator() -> str:
    """The operator in the audit trail: USER@HOST of this process, at most 100 characters."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may have no name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"[:100]


def _exit(text: str, code: int) -> NoReturn:
    print_error(text)
    sys.exit(code)


def _quiet_logs() -> None:
    """Log warnings only, and to stderr: stdout is for results."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.dev.ConsoleRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    logging.getLogger("pika").setLevel(logging.CRITICAL)
