"""The edge's own responses: errors as problem+json, as functions send them."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler, Middleware

from leadline.errors import LeadlineError
from leadline.runtime.http import problem
from leadline.runtime.http.cross_site import Guard
from local.gateway import cross_site

#: How long a body may take to arrive.
BODY_WITHIN_S = 30


def problem_response(status: HTTPStatus, detail: str, **headers: str) -> web.Response:
    """An error as problem+json; `Retry_After="1"` becomes the header Retry-After."""
    header_names = {name.replace("_", "-"): value for name, value in headers.items() if value}
    return web.Response(
        body=problem.document(status, detail),
        status=status,
        content_type=problem.CONTENT_TYPE,
        headers=header_names,
    )


def error_response(error: LeadlineError, **headers: str) -> web.Response:
    """The response that a function would give to this error."""
    body, status, all_headers = problem.response_for(error)
    all_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(body=body, status=status, headers=all_headers)


@web.middleware
async def http_errors_as_problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn aiohttp's plain-text errors (no route, body too large) into problem+json."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        allow = error.headers.get("Allow", "")
        return problem_response(HTTPStatus(error.status), error.reason, Allow=allow)


def cross_site_guard(guard: Guard) -> Middleware:
    """Reject requests made by pages of other sites."""

    @web.middleware
    async def reject_cross_site(request: web.Request, handler: Handler) -> web.StreamResponse:
        if refusal := cross_site.refusal(guard, request):
            return problem_response(refusal.status, refusal.detail)
        return await handler(request)

    return reject_cross_site


async def handle_expect_header(request: web.Request) -> web.StreamResponse | None:
    """Answer `Expect: 100-continue`; reject any other expectation (RFC 9110, 10.1.1)."""
    if request.version != HttpVersion11:
        return None
    if request.headers[hdrs.EXPECT].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # aiohttp counts these bytes as part of the response, which has not begun.
        request.writer.output_size = 0
        return None
    return problem_response(
        HTTPStatus.EXPECTATION_FAILED, "The only expectation supported is 100-continue."
    )


def close_connections_once(
    stopped: asyncio.Event,
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """A handler of on_response_prepare: once the edge stops, each response ends its connection."""

    async def close(_request: web.Request, response: web.StreamResponse) -> None:
        if stopped.is_set():
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"

    return close


class Connection(web.RequestHandler):
    """A client connection that answers malformed HTTP with problem+json, too."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Respond and close the connection: where the next request begins is unknown."""
        response = super().handle_error(request, status, exc, message)
        is_internal = response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        detail = "The edge failed." if is_internal else "The request is not valid HTTP."
        answer = problem_response(HTTPStatus(response.status), detail)
        answer.force_close()
        return answer
