"""GET /: a page with links to what the edge serves."""

from aiohttp import web

from leadline.settings import settings

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Leadline</title>
<h1>Leadline</h1>
<ul>
<li><a href="/console">Console</a>: users, queues, the portal, and what to do about errors
<li><a href="/docs">API</a>: paths, bodies and answers
(<a href="/openapi.json">OpenAPI document</a>)
<li><a href="/healthz">Health</a> of every part
</ul>
<p>{keys}</p>
</html>
"""
_NO_KEYS = "Calls need no key: <code>LEADLINE_AUTH=off</code>."
_KEYS = """\
Calls need a key: <code>Authorization: Bearer KEY</code>. Keys are in the secret
<code>api-keys</code>. If you set none, one was generated:
<code>cut -d: -f3 .local/secrets/api-keys</code> (make run) or
<code>docker compose -f local/docker-compose.yml exec console cut -d: -f3
/var/openfaas/secrets/api-keys</code>."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


async def handle(_request: web.Request) -> web.Response:
    """200 with the page."""
    text = _PAGE.format(keys=_NO_KEYS if settings().auth == "off" else _KEYS)
    return web.Response(text=text, content_type="text/html", headers=_HEADERS)
