"""JSON requests and responses of the control API."""

import json
from typing import Any

from aiohttp import web

from emulator.http.params import without_lone_surrogates


class InvalidJson(ValueError):
    """The body is not JSON."""


async def read_json(request: web.Request) -> Any:
    """The body's JSON value, with `?` for lone surrogates; raises InvalidJson."""
    try:
        return without_lone_surrogates(json.loads(await request.read()))
    except (ValueError, RecursionError):
        raise InvalidJson("the body is not valid JSON") from None


def json_response(value: object, status: int = 200) -> web.Response:
    """A JSON response, 200 by default."""
    text = json.dumps(value, ensure_ascii=False)
    return web.Response(text=text, status=status, content_type="application/json")


def problem(status: int, message: str) -> web.Response:
    """An error of the control API."""
    return json_response({"error": message}, status)
