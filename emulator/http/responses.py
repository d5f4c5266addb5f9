"""HTTP responses of the portal and its gateway."""

import json
from typing import Any

from aiohttp import web

from emulator.errors import RestError


def ok(body: dict[str, Any], status: int = 200) -> web.Response:
    """A JSON response."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return web.Response(text=text, status=status, content_type="application/json")


def error(refusal: RestError) -> web.Response:
    """An error response with its status."""
    return ok(refusal.body(), refusal.status)


def gateway(status: int) -> web.Response:
    """The HTML page of the web server in front of the portal when the portal does not answer."""
    reason = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out"}
    title = f"{status} {reason.get(status, 'Error')}"
    html = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return web.Response(text=html, status=status, content_type="text/html")


def truncated(response: web.Response) -> web.Response:
    """The first half of a response, as if it were complete."""
    body = response.body if isinstance(response.body, bytes) else b""
    half = body[: max(1, len(body) // 2)]
    return web.Response(body=half, status=200, content_type="application/json")


def moved(location: str) -> web.Response:
    """A redirect to the portal's new name."""
    return web.Response(status=302, headers={"Location": location})
