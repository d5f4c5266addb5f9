"""Client of one Bitrix24 portal: many commands in one request to its webhook.

Every call is a `batch`, even for a single command: one way to send, one way to parse a response
(https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from math import isfinite
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import orjson

from leadline.bitrix24 import errors
from leadline.bitrix24.command import Command
from leadline.bitrix24.session import HttpResponse, Session
from leadline.bitrix24.webhook_url import WebhookUrl
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
#: Added to the portal's own limit for a request: hanging up earlier leaves the outcome unknown.
READ_MARGIN_S = 5.0
#: Maximum number of commands in a batch, set by the portal.
MAX_COMMANDS = 50
#: The window over which the portal adds up a method's execution time.
OPERATING_WINDOW_S = 600.0
#: The window moves on by a minute at a time.
OPERATING_STEP_S = 60.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

CommandResult = Any | BitrixError


@dataclass(frozen=True, slots=True)
class Timing:
    """A method's execution time, as far as a response reports it."""

    #: The commands of this method whose time the response reports.
    commands: int
    #: Execution time of these commands together, in seconds.
    seconds: float
    #: Execution time that the method has used in the last ten minutes; None: not reported.
    used_s: float | None
    #: Seconds until the oldest minute leaves the window, by the portal's clock.
    reset_in_s: float


@dataclass(frozen=True, slots=True)
class BatchResponse:
    """The response to a batch: results by command key, timings by method."""

    results: dict[str, CommandResult]
    timings: dict[str, Timing]
    #: HTTP status of the response; None if no request was sent, or it got no response.
    http_status: int | None = None


class PortalClient:
    """Sends commands over persistent connections."""

    def __init__(self, webhook_url: str) -> None:
        """Connect lazily, at the first call.

        Raises:
            BadConfiguration: not the URL of a webhook.
        """
        self._session = Session(WebhookUrl.parse(webhook_url))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(
        self, commands: Mapping[str, Command], *, send_until: float | None = None
    ) -> BatchResponse:
        """Send all commands in one request; returns each one's result or its own error.

        Keys must not be numeric: Bitrix24 would return a list without them.
        `send_until` is the last moment (`runtime.clock`) for the first byte of the request.

        Raises:
            LeaseTooShort: `send_until` had passed before the connection was open; nothing was sent.
            BitrixError: the request as a whole failed; its class says what may have run.
        """
        cmd = {key: command.as_query() for key, command in commands.items()}
        try:
            # halt 0: a failed command does not keep the others from running.
            response = self._post("batch", {"halt": 0, "cmd": cmd}, send_until)
        except Rejected as error:
            raise _error_of_batch(error, len(commands)) from None
        results = _as_map(response.get("result"))
        failed = _as_map(results.get("result_error"))
        succeeded = _as_map(results.get("result"))
        command_results = {key: _result_of(key, succeeded, failed) for key in commands}
        times = {"batch": [response.get("time")]}
        for key, time in _as_map(results.get("result_time")).items():
            if key in commands:
                times.setdefault(commands[key].method, []).append(time)
        timings = {method: _timing(rows) for method, rows in times.items()}
        # One `time` object covers all commands of the batch.
        timings["batch"] = replace(timings["batch"], commands=len(commands))
        return BatchResponse(command_results, timings, HTTPStatus.OK)

    def _post(
        self, method: str, body: dict[str, Any], send_until: float | None = None
    ) -> dict[str, Any]:
        response = self._session.post(
            method,
            orjson.dumps(body),
            connect_s=CONNECT_TIMEOUT_S,
            response_s=settings().request_limit_s + READ_MARGIN_S,
            send_until=send_until,
        )
        try:
            return _parse(response)
        except BitrixError as error:
            error.http_status = response.status
            raise


def _parse(response: HttpResponse) -> dict[str, Any]:
    if response.status in _REDIRECTS and response.location:
        raise PortalDown(
            f"the portal has moved to {_host(response)}: set the webhook's new address"
        )
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        raise errors.unreadable(response.status) from None
    if not isinstance(body, dict):
        raise errors.unreadable(response.status)
    error = body.get("error")
    if isinstance(error, dict):  # REST 3.0 nests it
        raise errors.classify(response.status, error.get("code"), error.get("message"))
    if "error" in body or response.status >= 400:
        raise errors.classify(response.status, error, body.get("error_description"))
    return body


def _error_of_batch(error: Rejected, commands: int) -> BitrixError:
    """The error of a rejected batch; with one command, it is that command's own.

    Except `LeadGone`: a batch that was not found says nothing about a lead.
    """
    if commands == 1 and not isinstance(error, LeadGone):
        return error
    rejection = RequestRejected(error.detail, code=error.code)
    rejection.http_status = error.http_status
    return rejection


def _host(redirect: HttpResponse) -> str:
    try:
        host_length_max = 253  # as in DNS
        return errors.bounded(urlsplit(redirect.location).hostname, host_length_max)
    except ValueError:
        raise errors.unreadable(redirect.status) from None


def _result_of(key: str, succeeded: dict[str, Any], failed: dict[str, Any]) -> CommandResult:
    if key in failed:
        error = failed[key] if isinstance(failed[key], dict) else {}
        return errors.classify(400, error.get("error"), error.get("error_description"))
    if key in succeeded:
        return succeeded[key]
    return OutcomeUnknown("the batch's answer lacks this command")


def _as_map(value: object) -> dict[str, Any]:
    """A map; Bitrix24 sends an empty one as `[]`."""
    return value if isinstance(value, dict) else {}


def _timing(rows: list[Any]) -> Timing:
    """Combine the `time` objects of one method's commands; an invalid value counts as missing."""
    valid = [row for row in rows if isinstance(row, dict)]
    durations = [_seconds(row.get("duration")) or 0 for row in valid]
    used = [_seconds(row.get("operating")) for row in valid]
    resets = [_reset_in_s(row.get("operating_reset_at"), row.get("finish")) for row in valid]
    return Timing(
        commands=len(valid),
        seconds=sum(min(duration, OPERATING_WINDOW_S) for duration in durations),
        used_s=max(_known(used), default=None),
        reset_in_s=min(_known(resets), default=OPERATING_STEP_S),
    )


def _known(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _reset_in_s(reset_at: object, finish: object) -> float | None:
    if not _is_number(reset_at) or not _is_number(finish):
        return None
    return min(max(0.0, reset_at - finish), OPERATING_WINDOW_S)


def _seconds(value: object) -> float | None:
    return float(value) if _is_number(value) and value >= 0 else None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
