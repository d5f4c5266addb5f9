"""Reading and answering JSON on the control API."""

import json
from typing import Any

from aiohttp import web

from emulator.http.params import printable


class Unreadable(ValueError):
    """The body is no JSON."""


async def read_json(request: web.Request) -> Any:
    """The body's JSON value; raises Unreadable."""
    try:
        return printable(json.loads(await request.read()))
    except (ValueError, RecursionError):
        raise Unreadable("the body is not valid JSON") from None


def answer(value: object, status: int = 200) -> web.Response:
    """A JSON answer."""
    text = json.dumps(value, ensure_ascii=False)
    return web.Response(text=text, status=status, content_type="application/json")


def problem(status: int, message: str) -> web.Response:
    """An error of the control API."""
    return answer({"error": message}, status)
