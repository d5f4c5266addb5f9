"""GET /console: the system on one page, and what its buttons do."""

from pathlib import Path

import functions_framework
from flask import Request, Response

from leadline.api.console import inside, serve
from leadline.api.static_files import Pages
from leadline.runtime.http.endpoint import RawResponse, endpoint

PAGES = Pages(Path(__file__).parent / "page")


@functions_framework.http
@endpoint("GET", "HEAD", "POST", read_scope=None, write_scope="operate")
def console(request: Request) -> Response | RawResponse:
    """The page to anybody; under `api/` figures for `read` and orders for `operate`."""
    path = inside(request)
    if path.startswith("api/"):
        return serve(request, path)
    return PAGES.answer(request, path)
