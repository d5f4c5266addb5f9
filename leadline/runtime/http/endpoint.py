"""What every door has in common: who calls, by which method, and errors as problem+json."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
import structlog
from flask import Request, Response
from pydantic import BaseModel, ValidationError

from leadline.errors import (
    FieldError,
    InvalidRequest,
    LeadlineError,
    MethodNotAllowed,
)
from leadline.runtime.http import auth, problem, rate_limit
from leadline.runtime.http.auth import Scope
from leadline.runtime.telemetry import trace_context
from leadline.runtime.telemetry.http_metrics import StartResponse

log = structlog.get_logger()


@dataclass(slots=True)
class Answer:
    """A whole answer, as a WSGI app; Flask takes it for a response, and makes none, which costs
    as much as all else that a door does.
    """

    body: bytes
    status: HTTPStatus
    headers: dict[str, str]

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """PEP 3333."""
        headers = [*self.headers.items(), ("Content-Length", str(len(self.body)))]
        start_response(f"{self.status.value} {self.status.phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.body]


Door = Callable[[Request], Response | Answer]
Model = TypeVar("Model", bound=BaseModel)
#: Longest Idempotency-Key, in characters.
KEY_MAX = 255
_SAFE = frozenset({"GET", "HEAD"})
#: Where the server puts the body that it has read.
BODY = "leadline.body"


def endpoint(
    *methods: str, reading: Scope | None = "read", writing: Scope = "write"
) -> Callable[[Door], Door]:
    """Let only these methods and known callers in; answer every error as problem+json.

    GET and HEAD ask for a key with the scope `reading` (None: no key, as for a page that holds no
    data; see `allow`), every other method for one with `writing`. The door tells the scopes that it
    asks for as its `scopes`.
    """

    def decorate(door: Door) -> Door:
        @functools.wraps(door)
        def guarded(request: Request) -> Response | Answer:
            sent = request.environ  # Flask's headers cost as much as all else that is done here
            trace = trace_context.begin(sent.get("HTTP_X_CALL_ID"), sent.get("HTTP_TRACEPARENT"))
            trace_context.act_as("")
            try:
                scope = reading if request.method in _SAFE else writing
                if scope is not None:
                    allow(request, scope)
                if request.method not in methods:
                    raise MethodNotAllowed(", ".join(methods))  # noqa: TRY301
                if scope == "write" and trace_context.caller():  # without keys all are one
                    rate_limit.writes().take(trace_context.caller())
                answered = door(request)
            except LeadlineError as error:
                answered = _problem(error)
            except Exception:  # the edge of the process: nobody above can answer
                log.exception("unexpected error")
                answered = _problem(LeadlineError("An unexpected error; the log has its place."))
            answered.headers["X-Call-Id"] = trace.correlation_id
            return answered

        guarded.scopes = frozenset({reading, writing} - {None})  # type: ignore[attr-defined]
        return guarded

    return decorate


def scopes_of(door: object) -> frozenset[str]:
    """What this door asks its callers' keys for; any other function has keys of the API."""
    scopes: frozenset[str] = getattr(door, "scopes", frozenset({"read"}))
    return scopes


def allow(request: Request, scope: Scope) -> None:
    """Let only callers pass whose key opens this.

    Raises:
        Unauthorized, Forbidden, ExpiredKey, MissingScope: see `auth.caller`.
    """
    trace_context.act_as(auth.caller(request.environ.get("HTTP_AUTHORIZATION"), scope))


def answer(body: object, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Answer:
    """A JSON answer; `ETag="1"` and the like become headers."""
    return Answer(orjson.dumps(body), status, {"Content-Type": "application/json", **headers})


def demand_json(request: Request) -> None:
    """Let only bodies pass that say they are JSON.

    A page in a browser can send a form or plain text to any address without asking it first, and
    JSON only after a preflight request (https://fetch.spec.whatwg.org/#http-cors-protocol), which
    no function answers.

    Raises:
        InvalidRequest: 415.
    """
    if not is_json(request.environ.get("CONTENT_TYPE", "")):
        raise InvalidRequest(
            "Send JSON with Content-Type: application/json.",
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )


def is_json(content_type: str) -> bool:
    """Whether this Content-Type is application/json or one of the `+json` types (RFC 6839)."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def parse(model: type[Model], request: Request) -> Model:
    """The request's JSON body as this model.

    Raises:
        InvalidRequest: 415 not JSON, 400 malformed JSON, 422 with a list of fields.
    """
    demand_json(request)
    sent = request.environ
    try:
        return model.model_validate_json(sent[BODY] if BODY in sent else request.get_data())
    except ValidationError as error:
        raise explain(error) from None


def parse_query(model: type[Model], request: Request) -> Model:
    """The query string as this model.

    Raises:
        InvalidRequest: 422 with a list of parameters.
    """
    try:
        return model.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise explain(error) from None


def explain(error: ValidationError) -> InvalidRequest:
    """A validation error as an answer: which field and why, without the value."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if any(one["type"] == "json_invalid" for one in found):
        return InvalidRequest("The body is not valid JSON.", status=HTTPStatus.BAD_REQUEST)
    fields: list[FieldError] = [
        {"field": ".".join(map(str, one["loc"])) or "body", "message": one["msg"]} for one in found
    ]
    return InvalidRequest("Some fields are missing or invalid.", fields=fields)


def _problem(error: LeadlineError) -> Answer:
    return Answer(*problem.of(error))
