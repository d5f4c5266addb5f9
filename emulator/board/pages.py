"""The board's page and its files; no other files are served."""

from pathlib import Path

from aiohttp import web

from emulator.board.updates import snapshot, stream

_FOLDER = Path(__file__).parent
_CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_FILES = {
    path.name: path
    for path in sorted((_FOLDER / "page").iterdir())
    if path.suffix in _CONTENT_TYPES
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def routes() -> list[web.RouteDef]:
    """The routes of the board."""
    return [
        web.get("/", _index),
        web.get("/board/{name}", _file),
        web.get("/crm/lead/details/{id:[0-9]{1,15}}/", _redirect_to_lead),
        web.get("/_emulator/board", snapshot),
        web.get("/_emulator/stream", stream),
    ]


async def _index(_: web.Request) -> web.Response:
    return _serve_file(_FILES["index.html"])


async def _redirect_to_lead(request: web.Request) -> web.Response:
    """The path is that of a lead's card in Bitrix24; here it opens the lead on the board."""
    raise web.HTTPFound(f"/#lead-{request.match_info['id']}")


async def _file(request: web.Request) -> web.Response:
    path = _FILES.get(request.match_info["name"])
    if path is None:
        raise web.HTTPNotFound
    return _serve_file(path)


def _serve_file(path: Path) -> web.Response:
    return web.Response(
        body=path.read_bytes(),
        content_type=_CONTENT_TYPES[path.suffix],
        charset="utf-8",
        headers=_HEADERS,
    )
