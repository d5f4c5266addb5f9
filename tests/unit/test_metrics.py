"""Metrics for Prometheus: cheap, exact, and no burden on a cold start."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from leadline.runtime.serving.serve import answer_probes
from leadline.runtime.telemetry import http_metrics, metrics

CHECKOUT = Path(__file__).parents[2]


def scrape_samples() -> dict[tuple[str, tuple[str, ...]], float]:
    """A scrape, by name and label values, in the order of the labels' names."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, tuple(text for _, text in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def ask(app: http_metrics.App, **environ: str) -> tuple[str, bytes]:
    """Status and body of a request."""
    statuses = []

    def start(line: str, _headers: Any) -> None:
        statuses.append(line[:3])

    body = app({"REQUEST_METHOD": "GET", "PATH_INFO": "/", **environ}, start)
    return statuses[0], b"".join(body)


def answering(line: str, route: str | None = None) -> http_metrics.App:
    def app(environ: dict[str, Any], start: http_metrics.StartResponse) -> list[bytes]:
        if route is not None:
            environ[http_metrics.ROUTE] = route
        start(line, [])
        return [b"the function"]

    return app


def inc_often(counter: metrics.Counter) -> None:
    for _ in range(5000):
        counter.inc("a")


def test_no_count_is_lost_between_threads() -> None:
    counter = metrics.Counter("test_threads_total", "Counts", "kind")
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: inc_often(counter), range(8)))
    finally:
        sys.setswitchinterval(before)
    assert scrape_samples()["test_threads_total", ("a",)] == 40_000


def test_a_bucket_counts_all_values_up_to_its_bound() -> None:
    histogram = metrics.Histogram("test_spread_seconds", "Spread", buckets=(0.1, 1))
    for value in (0.05, 0.1, 0.5, 7):
        histogram.observe(value)
    found = scrape_samples()
    buckets = [found["test_spread_seconds_bucket", (bound,)] for bound in ("0.1", "1.0", "+Inf")]
    assert buckets == [2, 3, 4]
    assert found["test_spread_seconds_count", ()] == 4
    assert found["test_spread_seconds_sum", ()] == pytest.approx(7.65)


def test_a_value_that_is_no_longer_known_is_not_exported() -> None:
    gauge = metrics.Gauge("test_level", "Level", "of")
    gauge.set(3, "milk")
    assert scrape_samples()["test_level", ("milk",)] == 3
    gauge.replace({})
    assert ("test_level", ("milk",)) not in scrape_samples()


def test_a_request_is_counted_by_route_method_and_status() -> None:
    app = http_metrics.count_requests(answering("201 CREATED", "/users"), "test-function")
    ask(app, REQUEST_METHOD="POST")
    found = scrape_samples()
    labels = ("test-function", "POST", "/users")
    assert found["leadline_http_requests_total", (*labels, "201")] == 1
    assert found["leadline_http_request_duration_seconds_count", labels] == 1


def test_a_client_cannot_invent_labels() -> None:
    app = http_metrics.count_requests(answering("405 METHOD NOT ALLOWED"), "test-labels")
    for number in range(50):
        ask(app, REQUEST_METHOD=f"BREW{number}", PATH_INFO=f"/{number}")
    mine = [
        labels
        for name, labels in scrape_samples()
        if name == "leadline_http_requests_total" and labels[0] == "test-labels"
    ]
    assert mine == [("test-labels", "other", "-", "405")]


def test_a_request_that_crashed_the_function_counts_as_500() -> None:
    def fail(_environ: dict[str, Any], _start: http_metrics.StartResponse) -> list[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask(http_metrics.count_requests(fail, "test-broken"))
    assert scrape_samples()["leadline_http_requests_total", ("test-broken", "GET", "-", "500")] == 1


def test_metrics_are_not_served_through_a_gateway() -> None:
    app = answer_probes(answering("404 NOT FOUND"))
    assert ask(app, PATH_INFO="/metrics")[0] == "200"
    forwarded = ask(app, PATH_INFO="/metrics", HTTP_X_FORWARDED_FOR="192.0.2.1")
    assert forwarded == ("404", b"the function")
    # Even an empty header shows that a gateway forwarded the request.
    assert ask(app, PATH_INFO="/metrics", HTTP_X_FORWARDED_FOR="")[0] == "404"
