"""GET /openapi.json and /docs: the OpenAPI document, and a page that shows it."""

import functions_framework
from flask import Request, Response

from leadline.api import docs_page, problem_types
from leadline.api.openapi import document
from leadline.api.paths import path_of
from leadline.errors import PathNotFound
from leadline.runtime.http.endpoint import endpoint


@functions_framework.http
@endpoint("GET", "HEAD", read_scope=None)
def openapi(request: Request) -> Response:
    """200 with the document, the page, or one of the page's assets."""
    match path_of(request).strip("/").split("/"):
        case [""] | ["openapi.json"]:
            return Response(document(), content_type="application/json")
        case ["docs", "problems"]:
            return Response(problem_types.html(), headers=docs_page.SECURITY_HEADERS)
        case ["docs"]:
            return Response(docs_page.html(), headers=docs_page.SECURITY_HEADERS)
        case ["docs", name]:
            body, content_type = docs_page.asset(name)
            return Response(body, headers=docs_page.SECURITY_HEADERS, content_type=content_type)
    raise PathNotFound
