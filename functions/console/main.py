"""GET /console: the console's page and its JSON API."""

from pathlib import Path

import functions_framework
from flask import Request, Response

from leadline.api.console import serve, subpath
from leadline.api.static_files import StaticFiles
from leadline.runtime.http.endpoint import Answer, endpoint

FILES = StaticFiles(Path(__file__).parent / "page")


@functions_framework.http
@endpoint("GET", "HEAD", "POST", read_scope=None, write_scope="operate")
def console(request: Request) -> Response | Answer:
    """The page for anyone; under `api/` figures need `read` and actions `operate`."""
    path = subpath(request)
    if path.startswith("api/"):
        return serve(request, path)
    return FILES.answer(request, path)
