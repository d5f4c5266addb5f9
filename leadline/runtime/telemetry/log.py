"""One JSON object a line on stdout, or a readable form for a person at a terminal.

At INFO and above a line holds ids, actions, attempts, durations: never a name, a phone or a secret.
Should one hold a secret all the same, such as an address in a library's text, it is blanked here.
"""

import asyncio
import logging
import os
import re
import sys
from typing import Any, TextIO, cast

import orjson
import structlog

from leadline.runtime import secrets
from leadline.runtime.concurrency import greenlets
from leadline.runtime.telemetry import trace_context
from leadline.settings import settings

HIDDEN = "[hidden]"
#: A webhook's code, also one that this process has not read itself.
_WEBHOOK = re.compile(r"""(/rest/\d+/)[^/\s"'\\]+""")


def configure(service: str) -> None:
    """Send this process's own and its libraries' log lines to stdout, in the chosen form."""
    level = logging.getLevelNamesMapping()[settings().log_level]
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_service(service),
        add_context,
    ]
    final = _console() if settings().log == "console" else [_json]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Stdout())),
        cache_logger_on_first_use=True,
    )
    _libraries([*shared, structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final])


def _libraries(processors: list[Any]) -> None:
    """Lines of libraries (standard logging) in the same form, from WARNING on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name],
            processors=processors,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    # They tell of each reconnect or failed job with a stack trace; our own line says it once.
    for library in ("pika", "rq.worker"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    # Their warnings quote addresses.
    for library in ("urllib3", "requests", "redis"):
        logging.getLogger(library).setLevel(logging.ERROR)


class _Stdout:
    """Lines that are written in one round of turns leave in one piece, at its end.

    Each system call hands the interpreter to another thread, and that costs more than the line.
    """

    def __init__(self) -> None:
        self._held: list[str] = []  # touched in turns only

    def write(self, line: str) -> None:
        """Write this line, or in a turn hold it."""
        if greenlets.in_greenlet():
            self._held.append(line)
        else:
            sys.stdout.write(line)

    def flush(self) -> None:
        """Let what was written leave: at once, or in a turn soon."""
        if not greenlets.in_greenlet():
            sys.stdout.flush()
        elif len(self._held) == 1:
            asyncio.get_running_loop().call_soon(self._leave)

    def _leave(self) -> None:
        lines = "".join(self._held)
        self._held.clear()
        sys.stdout.write(lines)
        sys.stdout.flush()


def add_context(_logger: object, _method: str, line: dict[str, Any]) -> dict[str, Any]:
    """Say for which request a line is written and who asked, unless it says so itself."""
    correlation_id, caller = trace_context.correlation_id(), trace_context.caller()
    if correlation_id is not None:
        line.setdefault("correlation_id", correlation_id)
    if caller:
        line.setdefault("caller", caller)
    return line


def _add_service(service: str) -> Any:
    pid = os.getpid()

    def add(_logger: object, _method: str, line: dict[str, Any]) -> dict[str, Any]:
        line["service"] = service
        line["pid"] = pid
        return line

    return add


def _json(_logger: object, _method: str, line: dict[str, Any]) -> str:
    if line.pop("exc_info", None):
        line["exception"] = _where_it_failed()
    text = orjson.dumps(line, default=str).decode()
    if not _is_telling(text):
        return text
    return orjson.dumps(_blanked(orjson.loads(text))).decode()


def _where_it_failed() -> list[str]:
    """The stack by file and line, without values: an exception's text may quote personal data."""
    kind, _, trace = sys.exc_info()
    places = [kind.__name__ if kind else "?"]
    while trace:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places


def _console() -> list[Any]:
    return [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()), _blanked_line]


def _blanked_line(_logger: object, _method: str, text: str) -> str:
    return _hidden(text) if _is_telling(text) else text


def _is_telling(text: str) -> bool:
    """Whether a secret may be in this line; a plain search, as each line goes through it."""
    if "/rest/" in text:
        return True
    for secret in secrets.confidential():  # noqa: SIM110 - `any` takes three times as long
        if secret in text:
            return True
    return False


def _blanked(value: Any) -> Any:
    """The content of a line without secrets; names of fields and numbers may hold one too."""
    if isinstance(value, dict):
        return {_hidden(name): _blanked(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_blanked(inner) for inner in value]
    text = str(value)
    hidden = _hidden(text)
    return value if hidden == text else hidden


def _hidden(text: str) -> str:
    for secret in secrets.confidential():
        text = text.replace(secret, HIDDEN)
    return _WEBHOOK.sub(rf"\g<1>{HIDDEN}", text)
