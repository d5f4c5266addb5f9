"""The page that shows the OpenAPI document to people: Swagger UI, nothing from outside.

What axe finds wrong with Swagger UI is mended beside it, in `docs/`.
"""

from functools import cache
from importlib import resources
from pathlib import Path

from leadline.errors import PathNotFound

#: Only what stands in the package or below may run; Swagger UI sets styles of elements by itself.
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Leadline: HTTP API</title>
  <link rel="icon" href="docs/favicon-32x32.png">
  <link rel="stylesheet" href="docs/swagger-ui.css">
  <link rel="stylesheet" href="docs/legible.css">
</head>
<body>
  <div id="api"></div>
  <script src="docs/swagger-ui-bundle.js"></script>
  <script src="docs/show.js"></script>
</body>
</html>
"""

_OURS = Path(__file__).with_name("docs")

_TYPES = {
    "favicon-32x32.png": "image/png",
    "legible.css": "text/css; charset=utf-8",
    "show.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}


def html() -> bytes:
    """The page; it lives at `docs`, beside `openapi.json`."""
    return _PAGE.encode()


@cache
def asset(name: str) -> tuple[bytes, str]:
    """A file that the page asks for, and its content type.

    Raises:
        PathNotFound: the page asks for no such file.
    """
    if name not in _TYPES:
        raise PathNotFound
    ours = _OURS / name
    theirs = resources.files("flask_swagger_ui") / "dist" / name
    return (ours if ours.is_file() else theirs).read_bytes(), _TYPES[name]
