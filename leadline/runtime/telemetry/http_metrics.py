"""Requests as Prometheus sees them: rate, errors and duration; and `/metrics` itself."""

import os
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from leadline.runtime.telemetry import metrics

StartResponse = Callable[..., Any]
App = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

#: Where a door says which of its routes was called; a request that named none has "-".
ROUTE = "leadline.route"
#: Any other method is counted as "other": a label must not be at a client's choice.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUESTS = metrics.Counter(
    "leadline_http_requests_total",
    "Requests by what was asked and answered",
    *("function", "route", "method", "status"),
)
DURATION = metrics.Histogram(
    "leadline_http_request_duration_seconds",
    "Time from a request to its whole answer",
    *("function", "route", "method"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


def counted(app: App, function: str) -> App:
    """Count every request that this app answers, and how long that took."""

    def counting(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
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
            DURATION.observe(time.perf_counter() - began, function, route, method)

    return counting


def is_scrape(environ: dict[str, Any]) -> bool:
    """Whether this asks for `/metrics`, and did not come through a gateway.

    Every gateway says for whom it forwards, and no client can unsay it: so what faces the
    internet can't be asked for metrics, whatever paths it lets through.
    """
    return environ["PATH_INFO"] == metrics.PATH and "HTTP_X_FORWARDED_FOR" not in environ


def scrape() -> tuple[HTTPStatus, bytes]:
    """The metrics of this process; refused where it is one of several behind one port."""
    if int(os.environ.get("WORKERS", "1")) > 1:
        text = b"Each of WORKERS counts for itself, and one of them answers: set WORKERS=1."
        return HTTPStatus.NOT_IMPLEMENTED, text
    return HTTPStatus.OK, metrics.exposition()
