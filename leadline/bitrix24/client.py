"""One portal of Bitrix24, reached by its webhook: many commands in one request.

Every call is a `batch`, also for a single command: one way to send, one way to read an answer
(https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import orjson

from leadline.bitrix24 import errors
from leadline.bitrix24.command import Command
from leadline.bitrix24.session import HttpResponse, Session
from leadline.bitrix24.webhook import Webhook
from leadline.errors import (
    BitrixError,
    LeadGone,
    OutcomeUnknown,
    PortalDown,
    Rejected,
    RequestRejected,
)
from leadline.settings import settings

#: Name resolution, TCP and TLS together.
CONNECT_TIMEOUT_S = 3.0
#: Beyond the portal's own limit for a request: who hangs up earlier does not know what it did.
READ_MARGIN_S = 5.0
MAX_COMMANDS = 50
#: Over so many seconds the portal adds up a method's execution time.
OPERATING_WINDOW_S = 600.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

CommandResult = Any | BitrixError


@dataclass(frozen=True, slots=True)
class Timing:
    """What an answer says of a method's execution time; each part may be missing."""

    commands: int
    #: Seconds that these commands ran.
    seconds: float
    #: Seconds that the method has used in the last ten minutes.
    used_s: float | None
    #: Seconds until the oldest minute is forgotten, by the portal's own clock.
    reset_in_s: float


@dataclass(frozen=True, slots=True)
class BatchResponse:
    """The answer to a batch: by command, and by method."""

    results: dict[str, CommandResult]
    timings: dict[str, Timing]


class PortalClient:
    """Sends commands through connections that are kept."""

    def __init__(self, webhook_url: str) -> None:
        """Connects at the first call.

        Raises:
            BadConfiguration: the URL is no webhook's.
        """
        self._session = Session(Webhook.parse(webhook_url))

    def close(self) -> None:
        """Hang up."""
        self._session.close()

    def call(
        self, commands: Mapping[str, Command], *, send_until: float | None = None
    ) -> BatchResponse:
        """Send all in one request; for each command its result or its own error.

        Keys must not be numbers: a batch then answers with a list, and errors lose their command.
        `send_until` is the last moment (`runtime.clock`) for the first byte of the request.

        Raises:
            LeaseTooShort: that moment had passed when the connection stood; nothing was sent.
            BitrixError: the request as a whole was not served; its class says what may have run.
        """
        cmd = {key: command.as_query() for key, command in commands.items()}
        try:
            answer = self._post("batch", {"halt": 0, "cmd": cmd}, send_until)
        except Rejected as error:
            raise _of_request(error, len(commands)) from None
        results = _as_map(answer.get("result"))
        failed = _as_map(results.get("result_error"))
        done = _as_map(results.get("result"))
        answers = {key: _outcome(key, done, failed) for key in commands}
        times = {"batch": [answer.get("time")]}
        for key, time in _as_map(results.get("result_time")).items():
            if key in commands:
                times.setdefault(commands[key].method, []).append(time)
        timings = {method: _timing(rows) for method, rows in times.items()}
        # One `time` object tells of all that the batch held.
        timings["batch"] = replace(timings["batch"], commands=len(commands))
        return BatchResponse(answers, timings)

    def _post(
        self, method: str, body: dict[str, Any], send_until: float | None = None
    ) -> dict[str, Any]:
        reply = self._session.post(
            method,
            orjson.dumps(body),
            connect_s=CONNECT_TIMEOUT_S,
            answer_s=settings().request_limit_s + READ_MARGIN_S,
            send_until=send_until,
        )
        return _read(reply)


def _read(reply: HttpResponse) -> dict[str, Any]:
    if reply.status in _REDIRECTS and reply.location:
        # A followed redirect would become an empty GET.
        raise PortalDown(f"the portal has moved to {_host(reply)}: set the webhook's new address")
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        raise errors.unreadable(reply.status) from None
    if not isinstance(body, dict):
        raise errors.unreadable(reply.status)
    error = body.get("error")
    if isinstance(error, dict):  # REST 3.0 nests it
        raise errors.classify(reply.status, error.get("code"), error.get("message"))
    if "error" in body or reply.status >= 400:
        raise errors.classify(reply.status, error, body.get("error_description"))
    return body


def _of_request(error: Rejected, commands: int) -> BitrixError:
    """What a verdict on a whole batch says of its records: something of a single one only."""
    if commands == 1 and not isinstance(error, LeadGone):
        return error
    return RequestRejected(error.detail, code=error.code)


def _host(redirect: HttpResponse) -> str:
    try:
        return errors.bounded(urlsplit(redirect.location).hostname, 253)
    except ValueError:
        raise errors.unreadable(redirect.status) from None


def _outcome(key: str, done: dict[str, Any], failed: dict[str, Any]) -> CommandResult:
    if key in failed:
        error = failed[key] if isinstance(failed[key], dict) else {}
        return errors.classify(400, error.get("error"), error.get("error_description"))
    if key in done:
        return done[key]
    return OutcomeUnknown("the batch says nothing of this command")


def _as_map(value: object) -> dict[str, Any]:
    """An empty map comes as `[]`."""
    return value if isinstance(value, dict) else {}


def _timing(rows: list[Any]) -> Timing:
    """The `time` objects of one method's commands as one; an odd value counts as missing."""
    found = [row for row in rows if isinstance(row, dict)]
    used = [_seconds(row.get("operating")) for row in found]
    resets = [_reset_in_s(row.get("operating_reset_at"), row.get("finish")) for row in found]
    return Timing(
        commands=len(found),
        seconds=sum(min(_seconds(row.get("duration")) or 0, OPERATING_WINDOW_S) for row in found),
        used_s=max((one for one in used if one is not None), default=None),
        reset_in_s=min((one for one in resets if one is not None), default=60.0),
    )


def _reset_in_s(reset_at: object, finish: object) -> float | None:
    if not _is_number(reset_at) or not _is_number(finish):
        return None
    return min(max(0.0, reset_at - finish), OPERATING_WINDOW_S)


def _seconds(value: object) -> float | None:
    return float(value) if _is_number(value) and value >= 0 else None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
