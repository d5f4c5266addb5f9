"""HTTP responses of the portal, and of the web server in front of it."""

import json
from typing import Any

from aiohttp import web

from emulator.errors import RestError


def json_response(body: dict[str, Any], status: int = 200) -> web.Response:
    """A JSON response, 200 by default."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return web.Response(text=text, status=status, content_type="application/json")


def error_response(error: RestError) -> web.Response:
    """The error's JSON object with its HTTP status."""
    return json_response(error.body(), error.status)


def gateway_error(status: int) -> web.Response:
    """The HTML page with which the portal's web server (nginx) reports a portal that is silent."""
    reason = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out"}
    title = f"{status} {reason.get(status, 'Error')}"
    html = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return web.Response(text=html, status=status, content_type="text/html")


def truncated(response: web.Response) -> web.Response:
    """A complete response whose body is the first half of the given one, so its JSON is broken."""
    body = response.body if isinstance(response.body, bytes) else b""
    half = body[: max(1, len(body) // 2)]
    return web.Response(body=half, status=200, content_type="application/json")


def redirect(location: str) -> web.Response:
    """A redirect to the portal's new name."""
    return web.Response(status=302, headers={"Location": location})
