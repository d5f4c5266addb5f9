"""GET /console: the system on one page, and what its buttons do."""

from pathlib import Path

import functions_framework
from flask import Request, Response

from leadline.api.console import inside, serve
from leadline.api.static_files import Pages
from leadline.runtime.http.endpoint import Answer, endpoint

PAGES = Pages(Path(__file__).parent / "page")


@functions_framework.http
@endpoint("GET", "HEAD", "POST", reading=None, writing="operate")
def console(request: Request) -> Response | Answer:
    """The page to anybody; under `api/` figures for `read` and orders for `operate`."""
    path = inside(request)
    if path.startswith("api/"):
        return serve(request, path)
    return PAGES.answer(request, path)
