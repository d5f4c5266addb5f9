"""The API documentation page: Swagger UI, without external resources.

Its own files, in the folder `docs/`, fix the accessibility issues that axe finds in Swagger UI.
"""

from functools import cache
from importlib import resources
from pathlib import Path

from leadline.errors import PathNotFound

#: Only files of this origin may run. Swagger UI sets element styles by script, which CSP allows.
SECURITY_HEADERS = {
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

_STATIC = Path(__file__).with_name("docs")

_CONTENT_TYPES = {
    "favicon-32x32.png": "image/png",
    "legible.css": "text/css; charset=utf-8",
    "show.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}


def html() -> bytes:
    """The page; served at `docs`, next to `openapi.json`."""
    return _PAGE.encode()


@cache
def asset(name: str) -> tuple[bytes, str]:
    """A file of the page, and its content type.

    Raises:
        PathNotFound: the page has no such file.
    """
    if name not in _CONTENT_TYPES:
        raise PathNotFound
    own_file = _STATIC / name
    swagger_file = resources.files("flask_swagger_ui") / "dist" / name
    return (own_file if own_file.is_file() else swagger_file).read_bytes(), _CONTENT_TYPES[name]
