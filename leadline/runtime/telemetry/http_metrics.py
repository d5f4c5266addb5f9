"""HTTP metrics: rate, errors and duration of requests; and `/metrics` itself."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from leadline.runtime.telemetry import metrics

StartResponse = Callable[..., Any]
App = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

#: The key in the environ under which a handler stores the route; "-" for a request without one.
ROUTE = "leadline.route"
#: Any other method is counted as "other": clients must not be able to add label values.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUESTS = metrics.Counter(
    "leadline_http_requests_total",
    "Requests by function, route, method and status",
    *("function", "route", "method", "status"),
)
DURATION = metrics.Histogram(
    "leadline_http_request_duration_seconds",
    "Time from a request to its complete response",
    *("function", "route", "method"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


def count_requests(app: App, function: str) -> App:
    """Middleware: count each request of this app and its duration."""

    def middleware(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        started_at = time.perf_counter()
        status = "500"

        def start(line: str, *rest: Any) -> Any:
            nonlocal status
            status = line[:3]
            return start_response(line, *rest)

        try:
            return app(environ, start)
        finally:
            route = environ.get(ROUTE, "-")
            method = environ["REQUEST_METHOD"]
            if method not in _METHODS:
                method = "other"
            REQUESTS.inc(function, route, method, status)
            DURATION.observe(time.perf_counter() - started_at, function, route, method)

    return middleware


def is_scrape(environ: dict[str, Any]) -> bool:
    """Whether this is a request for `/metrics` that did not pass a gateway.

    Every gateway adds X-Forwarded-For, and no client can remove it: so metrics are never served to
    the internet, even if a gateway lets every path through.
    """
    return environ["PATH_INFO"] == metrics.PATH and "HTTP_X_FORWARDED_FOR" not in environ
