"""The console's static files. They contain no data and need no key."""

from pathlib import Path

from flask import Request, Response

from leadline.errors import MethodNotAllowed, PathNotFound

PAGE = "index.html"
LANGUAGES = ("en", "ru")
_CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Revalidated on each load: a new version takes effect at once.
    "Cache-Control": "no-cache",
}


class StaticFiles:
    """The files of one folder and its subfolders, by their path in it."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in _CONTENT_TYPES
        }

    def answer(self, request: Request, name: str) -> Response:
        """The file with this path; the page if the path is empty.

        Raises:
            MethodNotAllowed: neither GET nor HEAD.
            PathNotFound: no such file.
        """
        if request.method not in {"GET", "HEAD"}:
            raise MethodNotAllowed("GET, HEAD")
        name = name or PAGE
        body = self._files.get(name)
        if body is None:
            raise PathNotFound
        content_type = f"{_CONTENT_TYPES[Path(name).suffix]}; charset=utf-8"
        response = Response(headers=_HEADERS, content_type=content_type)
        if name == PAGE:
            language = _language(request)
            body = body.replace(b'<html lang="en"', f'<html lang="{language}"'.encode(), 1)
            response.vary.add("Accept-Language")
        response.set_data(body)
        response.add_etag()
        response.make_conditional(request)
        return response


def _language(request: Request) -> str:
    """The reader's preferred available language; `ru-KZ` is Russian."""
    preferred = (tag.partition("-")[0] for tag in request.accept_languages.values())
    return next((tag for tag in preferred if tag in LANGUAGES), LANGUAGES[0])
