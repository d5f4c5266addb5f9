"""GET /console: the status of the system on one page, and the operator's actions."""

from pathlib import Path

import functions_framework
from flask import Request, Response

from leadline.api.console.routes import serve, subpath
from leadline.api.static_files import StaticFiles
from leadline.runtime.http.endpoint import RawResponse, endpoint

FILES = StaticFiles(Path(__file__).parent / "page")


@functions_framework.http
@endpoint("GET", "HEAD", "POST", read_scope=None, write_scope="operate")
def console(request: Request) -> Response | RawResponse:
    """200 with the page; under `api/`, figures for the scope `read`, actions for `operate`."""
    path = subpath(request)
    if path.startswith("api/"):
        return serve(request, path)
    return FILES.answer(request, path)
