"""The edge's own answers, in the one shape that errors have everywhere."""

from http import HTTPStatus

from aiohttp import web

from leadline.runtime import problem


def refuse(status: HTTPStatus, detail: str, **headers: str) -> web.Response:
    """An error as problem+json; `Retry_After="1"` becomes the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items() if value}
    return web.Response(
        body=problem.document(status, detail),
        status=status,
        content_type=problem.CONTENT_TYPE,
        headers=named,
    )
