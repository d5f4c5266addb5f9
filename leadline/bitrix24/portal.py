"""One portal of Bitrix24, reached by its webhook: many commands in one request.

Every call is a `batch`, also for a single command: one way to send, one way to read an answer
(https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from pydantic import SecretStr

from leadline.bitrix24 import errors
from leadline.bitrix24.command import Command
from leadline.runtime.errors import (
    BadConfiguration,
    BitrixError,
    OutcomeUnknown,
    PortalDown,
    Unavailable,
)
from leadline.runtime.settings import settings

CONNECT_TIMEOUT_S = 3.0
#: Beyond the portal's own limit for a request: who hangs up earlier does not know what it did.
READ_MARGIN_S = 5.0
MAX_COMMANDS = 50
MAX_ANSWER_BYTES = 10 * 1024 * 1024


Answer = Any | BitrixError


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
class Batch:
    """The answer to a batch: by command, and by method."""

    answers: dict[str, Answer]
    timings: dict[str, Timing]


class Portal:
    """Sends commands through one kept connection; not for several threads at once."""

    def __init__(self, webhook_url: str) -> None:
        self._webhook = SecretStr(_checked(webhook_url))
        self._session = requests.Session()
        self._session.trust_env = False

    def call(self, commands: Mapping[str, Command]) -> Batch:
        """Send all in one request; for each command its result or its own error.

        Keys must not be numbers: a batch then answers with a list, and errors lose their command.

        Raises:
            BitrixError: the request as a whole was not served; its class says what may have run.
        """
        cmd = {key: command.as_query() for key, command in commands.items()}
        answer = self._post("batch", {"halt": 0, "cmd": cmd})
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
        return Batch(answers, timings)

    def probe(self) -> None:
        """Ask for next to nothing, to see whether the portal serves us.

        Raises:
            BitrixError: it does not.
        """
        self._post("profile", {})

    def _post(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._session.post(
                f"{self._webhook.get_secret_value()}{method}.json",
                json=body,
                timeout=(CONNECT_TIMEOUT_S, settings().request_limit_s + READ_MARGIN_S),
                allow_redirects=False,  # a followed redirect becomes an empty GET
                stream=True,
            )
            with answer:
                body_text = _bounded(answer)
        # `from None`: the library's text holds the URL, and the URL is a credential.
        except (requests.ConnectTimeout, requests.exceptions.SSLError) as error:
            raise Unavailable(_text(error)) from None
        except requests.ConnectionError as error:
            if _never_connected(error):
                raise Unavailable(_text(error)) from None
            raise OutcomeUnknown(_text(error), may_still_run=True) from None
        # ValueError: a Location that is no URL
        except (requests.RequestException, ValueError) as error:
            raise OutcomeUnknown(_text(error), may_still_run=True) from None
        return _read(answer, body_text)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # raises for what is no number
    except ValueError:  # its text quotes the URL
        parts = urlsplit("")
    segments = [segment for segment in parts.path.split("/") if segment]
    if parts.scheme not in {"http", "https"} or not parts.hostname or len(segments) != 3:
        raise BadConfiguration(
            "BITRIX_WEBHOOK_URL must look like https://your-domain.bitrix24.com/rest/USER_ID/WEBHOOK_CODE/"
        )
    return f"{parts.scheme}://{parts.netloc}/{'/'.join(segments)}/"


def _bounded(answer: requests.Response) -> bytes:
    """The body, or as much of it as any answer to a batch could need."""
    text = b""
    for part in answer.iter_content(64 * 1024):
        text += part
        if len(text) > MAX_ANSWER_BYTES:
            break
    return text


def _read(answer: requests.Response, text: bytes) -> dict[str, Any]:
    if answer.is_redirect or answer.is_permanent_redirect:
        host = urlsplit(answer.headers.get("Location", "")).hostname
        raise PortalDown(f"the portal has moved to {host}: set the webhook's new address")
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise errors.unreadable(answer.status_code) from None
    if not isinstance(body, dict):
        raise errors.unreadable(answer.status_code)
    error = body.get("error")
    if isinstance(error, dict):  # REST 3.0 nests it
        raise errors.classify(answer.status_code, error.get("code"), error.get("message"))
    if "error" in body or not answer.ok:
        raise errors.classify(answer.status_code, error, body.get("error_description"))
    return body


def _outcome(key: str, done: dict[str, Any], failed: dict[str, Any]) -> Answer:
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
    """The `time` objects of one method's commands as one."""
    found = [row for row in rows if isinstance(row, dict)]
    used = [_number(row.get("operating")) for row in found if "operating" in row]
    resets = [
        _number(row.get("operating_reset_at")) - _number(row.get("finish"))
        for row in found
        if "operating_reset_at" in row
    ]
    return Timing(
        commands=len(found),
        seconds=sum(_number(row.get("duration")) for row in found),
        used_s=max(used) if used else None,
        reset_in_s=max(0.0, min(resets)) if resets else 60.0,
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _never_connected(error: requests.ConnectionError) -> bool:
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return type(reason).__name__ in {"NewConnectionError", "NameResolutionError"}


def _text(error: Exception) -> str:
    return f"no answer from Bitrix24: {type(error).__name__}"
