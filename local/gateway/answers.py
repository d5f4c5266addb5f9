"""The edge's own answers, in the one shape that errors have everywhere."""

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


def refuse(status: HTTPStatus, detail: str, **headers: str) -> web.Response:
    """An error as problem+json; `Retry_After="1"` becomes the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items() if value}
    return web.Response(
        body=problem.document(status, detail),
        status=status,
        content_type=problem.CONTENT_TYPE,
        headers=named,
    )


def tell(error: LeadlineError, **headers: str) -> web.Response:
    """An error as a function would answer it."""
    body, status, named = problem.response_for(error)
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(body=body, status=status, headers=named)


@web.middleware
async def told_as_problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What aiohttp refuses in plain text (a path it can't match, a body too long) in our shape."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        allow = refusal.headers.get("Allow", "")
        return refuse(HTTPStatus(refusal.status), refusal.reason, Allow=allow)


def guarded(guard: Guard) -> Middleware:
    """Refuse what a page of another site has asked for."""

    @web.middleware
    async def refuse_foreign(request: web.Request, handler: Handler) -> web.StreamResponse:
        if refusal := cross_site.refusal(guard, request):
            return refuse(refusal.status, refusal.detail)
        return await handler(request)

    return refuse_foreign


async def expect(request: web.Request) -> web.StreamResponse | None:
    """`Expect: 100-continue` is honoured, anything else refused (RFC 9110, 10.1.1)."""
    if request.version != HttpVersion11:
        return None
    if request.headers[hdrs.EXPECT].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The answer itself has not begun.
        request.writer.output_size = 0
        return None
    return refuse(HTTPStatus.EXPECTATION_FAILED, "Only 100-continue can be expected here.")


class Connection(web.RequestHandler):
    """One connection of a client; what is no HTTP is refused in our shape too."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer, and close the connection: where its next request would begin is not known."""
        response = super().handle_error(request, status, exc, message)
        is_ours = response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        detail = "The edge failed." if is_ours else "This is not HTTP as it should be."
        told = refuse(HTTPStatus(response.status), detail)
        told.force_close()
        return told
