"""Errors of commands: an exit code and, with --json, one JSON format for all.

    {"error": {"code": "database_down", "message": "Postgres can't be reached", "exit_code": 3}}

Both forms go to stderr, so that stdout has results only. The code is the error's name in
`leadline/errors.py` in snake case, or `wrong_usage`, `not_confirmed`, `file_error`,
`invalid_settings`, `schema_outdated` or `statement_rejected`. A text never contains a value of a
setting or a user.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from typer import Abort, TyperException

from leadline.cli.output import FINDINGS, print_error
from leadline.errors import (
    InvalidRequest,
    LeadlineError,
    PathNotFound,
    QueueDefect,
    UserErased,
    UserNotFound,
)

#: Exit code: wrong usage, or not confirmed; nothing was done.
WRONG_USAGE = 2
#: Exit code: a server is unreachable, a setting is wrong, or Bitrix24 rejects a call.
UNAVAILABLE = 3
#: Exit code: ended by Ctrl-C, as the shell's convention is.
INTERRUPTED = 130

_SCHEMA_MISSING = ("42P01", "42703")
_MIGRATE = "python -m leadline.runtime.postgres.migrate"


class NotConfirmed(LeadlineError):
    """Not confirmed: nothing was done."""


class IdNotFound(LeadlineError):
    """Nothing has this id."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a command failed."""

    code: str
    message: str
    exit_code: int


def run(command: Callable[[], object]) -> int:
    """Run a command and report its error, if any; returns its exit code."""
    is_json = "--json" in sys.argv[1:]
    try:
        exit_code = command()
    except TyperException as error:
        if not is_json and hasattr(error, "show"):
            error.show()
            return WRONG_USAGE
        return report(Failure("wrong_usage", error.format_message(), WRONG_USAGE), is_json=is_json)
    except BrokenPipeError:
        raise  # not a failure: the reader closed the pipe
    except _expected() as error:
        return report(failure_of(error), is_json=is_json)
    return exit_code if isinstance(exit_code, int) else 0


def report(failure: Failure, *, is_json: bool) -> int:
    """Print a failure to stderr; returns its exit code."""
    if is_json:
        sys.stderr.write(orjson.dumps({"error": asdict(failure)}).decode() + "\n")
    else:
        print_error(failure.message)
    return failure.exit_code


def failure_of(error: BaseException) -> Failure:
    """The failure for an expected error."""
    from pydantic import ValidationError  # noqa: PLC0415 - only a failure needs these

    from leadline.runtime.postgres.pool import StatementError  # noqa: PLC0415 - the same

    code = _snake_case(type(error).__name__)
    message = str(error)
    exit_code = UNAVAILABLE
    match error:
        case InvalidRequest():
            code, exit_code = "wrong_usage", WRONG_USAGE
        case NotConfirmed() | Abort():
            code, exit_code = "not_confirmed", WRONG_USAGE
            message = message or str(NotConfirmed())
        case UserNotFound() | UserErased() | PathNotFound() | IdNotFound():
            exit_code = FINDINGS
        case OSError():
            code, exit_code = "file_error", WRONG_USAGE
            message = f"{error.filename}: {error.strerror}" if error.filename else message
        case QueueDefect():
            message = "Redis can't be reached"
        case ValidationError():
            code, message = "invalid_settings", _settings_text(error)
        case StatementError():
            is_outdated = error.code in _SCHEMA_MISSING
            code = "schema_outdated" if is_outdated else "statement_rejected"
            hint = f": run `{_MIGRATE}`" if is_outdated else ""
            message = f"Postgres rejected the statement ({error}){hint}"
    return Failure(code, message, exit_code)


def _expected() -> tuple[type[BaseException], ...]:
    """The errors that are reported without a traceback; imported only once one is raised."""
    from pydantic import ValidationError  # noqa: PLC0415 - only a failure needs these

    from leadline.runtime.postgres.pool import StatementError  # noqa: PLC0415 - the same

    return LeadlineError, StatementError, ValidationError, Abort, OSError


def _settings_text(error: Any) -> str:
    """Each invalid setting with what is expected, without its value."""
    problems = [
        f"LEADLINE_{'.'.join(map(str, detail['loc'])).upper()}: {_expectation(detail['msg'])}"
        for detail in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return f"invalid settings: {'; '.join(problems)}"


def _expectation(message: str) -> str:
    """Pydantic's message as a continuation: `should be greater than or equal to 0`."""
    return message.removeprefix("Value error, ").removeprefix("Input ")


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
