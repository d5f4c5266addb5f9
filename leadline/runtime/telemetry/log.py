"""Logs on stdout: one JSON object per line, or a readable form for a terminal.

Lines at INFO and above contain ids, actions, attempts and durations; never a name, a phone or a
secret. A secret that still gets into a line, such as a URL in a library's text, is redacted here.
"""

import asyncio
import logging
import os
import re
import sys
import threading
from types import TracebackType
from typing import Any, TextIO, cast

import orjson
import structlog

from leadline.errors import BadConfiguration
from leadline.runtime import secrets
from leadline.runtime.concurrency import greenlets
from leadline.runtime.telemetry import trace_context
from leadline.settings import settings

REDACTED = "[hidden]"
#: The code of any webhook, including those that this process has not read.
_WEBHOOK = re.compile(r"""(/rest/\d+/)[^/\s"'\\]+""")


def configure(service: str) -> None:
    """Configure logging of this process and its libraries."""
    level = logging.getLevelNamesMapping()[settings().log_level]
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_service(service),
        add_context,
    ]
    final = _console_processors() if settings().log == "console" else [_json]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Stdout())),
        cache_logger_on_first_use=True,
    )
    _configure_libraries(
        [*shared, structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final]
    )
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda uncaught: _log_uncaught(
        uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback
    )


def _configure_libraries(processors: list[Any]) -> None:
    """Format the log records of libraries (standard logging) in the same way, from WARNING on."""
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
    # pika logs a stack trace for each reconnect, which our own lines report already.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    logging.getLogger("rq.worker").addFilter(_has_exception)
    # Their warnings quote URLs.
    for library in ("urllib3", "requests", "redis"):
        logging.getLogger(library).setLevel(logging.ERROR)


def _has_exception(record: logging.LogRecord) -> bool:
    """Whether RQ logs an exception, which has ended its loop or lost a result.

    Its other records, such as a reconnect or a failed job, repeat lines of ours.
    """
    return record.exc_info is not None


class _Stdout:
    """Writes the lines of greenlets with one system call at the end of a loop iteration.

    Each system call releases the interpreter to another thread, which costs more than the line.
    """

    def __init__(self) -> None:
        self._buffer: list[str] = []  # used in greenlets only

    def write(self, line: str) -> None:
        """Write this line; in a greenlet, buffer it."""
        if greenlets.in_greenlet():
            self._buffer.append(line)
        else:
            sys.stdout.write(line)

    def flush(self) -> None:
        """Flush at once; in a greenlet, at the end of the loop iteration."""
        if not greenlets.in_greenlet():
            sys.stdout.flush()
        elif len(self._buffer) == 1:  # the first line of this iteration
            asyncio.get_running_loop().call_soon(self._write_buffer)

    def _write_buffer(self) -> None:
        lines = "".join(self._buffer)
        self._buffer.clear()
        sys.stdout.write(lines)
        sys.stdout.flush()


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """Log what ends the process or a thread; Python itself would print a stack of many lines."""
    if issubclass(kind, KeyboardInterrupt | SystemExit):  # an end that was asked for
        return
    line: dict[str, Any] = {"exc_info": (kind, error, trace)}
    if isinstance(error, BadConfiguration):
        line["reason"] = error.detail  # says what to set, without its value
    structlog.get_logger().critical("uncaught exception", **line)


def add_context(_logger: object, _method: str, line: dict[str, Any]) -> dict[str, Any]:
    """Add the correlation id and the caller, unless the line has its own."""
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
    if exc_info := line.pop("exc_info", None):
        line["exception"] = _stack_without_values(exc_info)
    text = orjson.dumps(line, default=str).decode()
    if not _may_contain_secret(text):
        return text
    return orjson.dumps(_redact_value(orjson.loads(text))).decode()


def _stack_without_values(exc_info: Any) -> list[str]:
    """The exception's class and stack; its text is left out, as it may quote personal data.

    `exc_info` as in standard logging: an exception, a tuple, or true for the one being handled.
    """
    if isinstance(exc_info, BaseException):
        exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
    kind, _, trace = exc_info if isinstance(exc_info, tuple) else sys.exc_info()
    frames = [kind.__name__ if kind else "?"]
    while trace:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return frames


def _console_processors() -> list[Any]:
    return [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()), _redact_line]


def _redact_line(_logger: object, _method: str, text: str) -> str:
    return _redact(text) if _may_contain_secret(text) else text


def _may_contain_secret(text: str) -> bool:
    """Whether a line may contain a secret; a plain search, since every line passes through here."""
    if "/rest/" in text:
        return True
    for secret in secrets.confidential():  # noqa: SIM110 - `any` takes three times as long
        if secret in text:
            return True
    return False


def _redact_value(value: Any) -> Any:
    """The parsed line without secrets; names of fields and numbers may contain one, too."""
    if isinstance(value, dict):
        return {_redact(name): _redact_value(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_redact_value(inner) for inner in value]
    text = str(value)
    redacted = _redact(text)
    return value if redacted == text else redacted


def _redact(text: str) -> str:
    for secret in secrets.confidential():
        text = text.replace(secret, REDACTED)
    return _WEBHOOK.sub(rf"\g<1>{REDACTED}", text)
