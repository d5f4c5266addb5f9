"""The program `leadline`: its commands, and the one place where errors become exit codes.

0: all well · 1: well done, but there is something to look at (differences, failed users, …) ·
2: the call itself was wrong · 3: a server or a setting stands in the way.
"""

import logging
import os
import pwd
import socket
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import redis
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
    restored,
    status,
    users,
)
from leadline.cli.output import complain
from leadline.errors import InvalidRequest, LeadlineError, UserNotFound
from leadline.runtime.postgres.pool import StatementError
from leadline.runtime.telemetry import trace_context

USAGE = 2
IN_THE_WAY = 3
_NO_SUCH_TABLE = ("42P01", "42703")
_MIGRATE = "python -m leadline.runtime.postgres.migrate"

app = typer.Typer(
    name="leadline",
    help="Look at Leadline and tell it what to do.",
    no_args_is_help=True,
    add_completion=False,
    # A trace with local variables would show credentials and people's data.
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
    restored.restored,
    audit.audit,
):
    app.command()(command)
app.command("import")(import_users.import_file)
app.command()(export.export)


@app.callback()
def before(
    state: Annotated[
        Path | None,
        typer.Option(help="State folder of a local run (make run) to work with."),
    ] = None,
) -> None:
    """Look at Leadline and tell it what to do.

    Connections come from the same secrets and variables as the functions' (DATABASE_URL, AMQP_URL,
    REDIS_URL, BITRIX_WEBHOOK_URL); where none is set, from the local run.
    """
    _quiet_logs()
    local_system.use(state)
    trace_context.set_caller(_operator())


def main() -> None:
    """Run a command; whatever goes wrong is told in a sentence, without values."""
    try:
        app()
    except (InvalidRequest, UserNotFound) as error:
        _end(str(error), USAGE)
    except LeadlineError as error:
        _end(str(error), IN_THE_WAY)
    except StatementError as error:
        hint = f": run `{_MIGRATE}`" if error.code in _NO_SUCH_TABLE else ""
        _end(f"Postgres refuses ({error}){hint}", IN_THE_WAY)
    except ValidationError as error:
        names = ", ".join(f"LEADLINE_{'.'.join(map(str, e['loc']))}" for e in error.errors())
        _end(f"these settings make no sense: {names.upper()}", IN_THE_WAY)
    except redis.RedisError:
        _end("Redis can't be reached", IN_THE_WAY)
    except BrokenPipeError:
        # Whoever read us has seen enough; Python must not complain while it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _operator() -> str:
    """Who works with us, as the audit trail names it: whose process this is, and where."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may have no name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"[:100]


def _end(text: str, code: int) -> NoReturn:
    complain(text)
    sys.exit(code)


def _quiet_logs() -> None:
    """Warnings go to stderr: stdout belongs to the command's answer."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.dev.ConsoleRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    logging.getLogger("pika").setLevel(logging.CRITICAL)
