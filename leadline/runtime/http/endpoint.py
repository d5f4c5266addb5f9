"""The decorator of every handler: authentication, methods, errors as problem+json."""

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
    QueueDefect,
)
from leadline.runtime.http import auth, field_messages, problem, rate_limit
from leadline.runtime.http.auth import Scope
from leadline.runtime.telemetry import trace_context
from leadline.runtime.telemetry.http_metrics import StartResponse

log = structlog.get_logger()


@dataclass(slots=True)
class RawResponse:
    """A complete response as a WSGI app, accepted by Flask in place of a `flask.Response`.

    Creating a `flask.Response` takes as long as everything else in a handler.
    """

    body: bytes
    status: HTTPStatus
    headers: dict[str, str]

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Respond as a WSGI app (PEP 3333)."""
        headers = [*self.headers.items()]
        # RFC 9110, 8.6: in a 304 it would be the length of the 200.
        if self.status is not HTTPStatus.NOT_MODIFIED:
            headers.append(("Content-Length", str(len(self.body))))
        start_response(f"{self.status.value} {self.status.phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.body]


Handler = Callable[[Request], Response | RawResponse]
Model = TypeVar("Model", bound=BaseModel)
T = TypeVar("T")
#: Longest Idempotency-Key, in characters.
IDEMPOTENCY_KEY_MAX = 255
_SAFE = frozenset({"GET", "HEAD"})
#: The scopes under the rate limit of writes.
_LIMITED = frozenset({"write", "erase"})
#: The key in the environ under which the server stores the body.
BODY = "leadline.body"


def endpoint(
    *methods: str, read_scope: Scope | None = "read", write_scope: Scope = "write"
) -> Callable[[Handler], Handler]:
    """Accept only these methods and authorized callers; respond to every error as problem+json.

    GET and HEAD require a key with `read_scope` (None: no key, for a page without data), all other
    methods one with `write_scope`. The handler's attribute `scopes` has both.
    """

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def guarded(request: Request) -> Response | RawResponse:
            # Reading Flask's headers takes as long as the rest of this function.
            environ = request.environ
            trace = trace_context.begin(
                environ.get("HTTP_X_CALL_ID"), environ.get("HTTP_TRACEPARENT")
            )
            trace_context.set_caller("")  # not that of the last request on this thread
            try:
                scope = read_scope if request.method in _SAFE else write_scope
                if scope is not None:
                    authorize(request, scope)
                if request.method not in methods:
                    raise MethodNotAllowed(", ".join(methods))  # noqa: TRY301
                # Without authentication there is no caller, and no limit.
                if scope in _LIMITED and trace_context.caller():
                    rate_limit.writes().acquire(trace_context.caller())
                response = handler(request)
            except QueueDefect:  # its cause is for the log, not for the client
                log.exception("unexpected error")
                response = _internal_error()
            except LeadlineError as error:
                response = _problem(error)
            except Exception:  # the edge of the process
                log.exception("unexpected error")
                response = _internal_error()
            response.headers["X-Call-Id"] = trace.correlation_id
            return response

        guarded.scopes = frozenset({read_scope, write_scope} - {None})  # type: ignore[attr-defined]
        return guarded

    return decorate


def _internal_error() -> RawResponse:
    return _problem(LeadlineError("Internal error; quote X-Call-Id to support."))


def large_bodies(is_large: Callable[[str], bool], limit: int) -> Callable[[T], T]:
    """Decorator: bodies of requests to these paths may have up to `limit` bytes."""

    def decorate(handler: T) -> T:
        handler.large_bodies = (is_large, limit)  # type: ignore[attr-defined]
        return handler

    return decorate


def body_limit_of(handler: object, usual: int) -> Callable[[str], int]:
    """A function from a path to the maximum size of a body, in bytes; `usual` for most paths."""
    is_large, limit = getattr(handler, "large_bodies", (None, 0))
    return lambda path: max(usual, limit) if is_large and is_large(path) else usual


def scopes_of(handler: object) -> frozenset[str]:
    """The scopes that a handler requires; `read` for one that is not an `endpoint`."""
    scopes: frozenset[str] = getattr(handler, "scopes", frozenset({"read"}))
    return scopes


def authorize(request: Request, scope: Scope) -> None:
    """Require a key with this scope, and make its name the current caller.

    Raises:
        Unauthorized, Forbidden, ExpiredKey, MissingScope: as `auth.authenticate`.
    """
    trace_context.set_caller(auth.authenticate(request.environ.get("HTTP_AUTHORIZATION"), scope))


def json_response(body: object, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> RawResponse:
    """A JSON response; keyword arguments such as `ETag="1"` become headers."""
    return RawResponse(orjson.dumps(body), status, {"Content-Type": "application/json", **headers})


def require_json(request: Request) -> None:
    """Require a JSON content type.

    This keeps other sites out: a page can send a form or plain text anywhere, but JSON only after a
    preflight request (https://fetch.spec.whatwg.org/#http-cors-protocol), which no function
    answers.

    Raises:
        InvalidRequest: 415, also for a compressed body (RFC 9110, 8.4).
    """
    if request.environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() != "identity":
        raise InvalidRequest(
            "Send the body uncompressed, without Content-Encoding.",
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            problem="compressed_body",
        )
    if not is_json(request.environ.get("CONTENT_TYPE", "")):
        raise InvalidRequest(
            "Send JSON with Content-Type: application/json.",
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            problem="not_json",
        )


def is_json(content_type: str) -> bool:
    """Whether this Content-Type is application/json or one of the `+json` types (RFC 6839)."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def parse(model: type[Model], request: Request) -> Model:
    """Parse the JSON body as this model.

    Raises:
        InvalidRequest: 415 not JSON, 400 malformed JSON, 422 with the invalid fields.
    """
    require_json(request)
    environ = request.environ
    try:
        return model.model_validate_json(environ[BODY] if BODY in environ else request.get_data())
    except ValidationError as error:
        raise invalid_request(error) from None


def parse_query(model: type[Model], request: Request) -> Model:
    """Parse the query string as this model.

    Raises:
        InvalidRequest: 422 with the invalid parameters.
    """
    return validate(model, request.args.to_dict())


def validate(model: type[Model], value: object) -> Model:
    """Validate a parsed value as this model.

    Raises:
        InvalidRequest: 422 with the invalid fields.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid_request(error) from None


def invalid_request(error: ValidationError) -> InvalidRequest:
    """The error response for a validation error: fields and reasons, without values."""
    details = error.errors(include_url=False, include_input=False)
    if any(detail["type"] == "json_invalid" for detail in details):
        return InvalidRequest(
            "The body is not valid JSON.", status=HTTPStatus.BAD_REQUEST, problem="malformed_json"
        )
    fields: list[FieldError] = [
        {"field": ".".join(map(str, detail["loc"])) or "body", "message": field_messages.of(detail)}
        for detail in details
    ]
    return InvalidRequest("Some fields are missing or invalid.", fields=fields)


def _problem(error: LeadlineError) -> RawResponse:
    return RawResponse(*problem.response_for(error))
