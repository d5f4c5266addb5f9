"""Refuses requests of other sites' pages to a function without authentication."""

from collections.abc import Iterable
from typing import Any

from leadline.runtime.http import cross_site, problem
from leadline.runtime.http.endpoint import RawResponse
from leadline.runtime.telemetry.http_metrics import App, StartResponse


def refuse_cross_site(app: App) -> App:
    """Middleware: refuse cross-site browser requests; used while authentication is off."""
    guard = cross_site.Guard.from_env()

    def middleware(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        refusal = guard.refusal(_head(environ))
        if refusal is None:
            return app(environ, start_response)
        body = problem.document(refusal.status, refusal.detail)
        response = RawResponse(body, refusal.status, {"Content-Type": problem.CONTENT_TYPE})
        return response(environ, start_response)

    return middleware


def _head(environ: dict[str, Any]) -> cross_site.Head:
    # The server joins repeated headers with a comma, which no host name or origin contains.
    origin = environ.get("HTTP_ORIGIN")
    return cross_site.Head(
        method=environ["REQUEST_METHOD"],
        host=environ.get("HTTP_HOST"),
        origins=() if origin is None else (origin,),
        sec_fetch_site=environ.get("HTTP_SEC_FETCH_SITE", ""),
        sec_fetch_mode=environ.get("HTTP_SEC_FETCH_MODE", ""),
        sec_fetch_dest=environ.get("HTTP_SEC_FETCH_DEST", ""),
        own_address=environ.get("SERVER_NAME", ""),
    )
