"""What a process counts, and how Prometheus reads it at `/metrics`.

Counting is a dictionary under a lock. The library that writes Prometheus' format costs a tenth of a
second to import, so the first scrape imports it and no cold start has to wait for it.
"""

import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

PATH = "/metrics"
#: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]


class _Family(Protocol):
    """One metric with all its label values."""

    def collect(self) -> "Metric":
        """As the library wants it."""


_families: list[_Family] = []
_readings: list[Callable[[], None]] = []


class Counter:
    """Grows until the process ends; `name` ends in `_total`.

    `known` values of a single label are told from the start: Prometheus sees no step from nothing
    to one (https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics).
    """

    def __init__(self, name: str, what: str, *labels: str, known: Iterable[str] = ()) -> None:
        self._about = (name, what)
        self._labels = labels
        self._values: dict[Labels, float] = (
            {(value,): 0.0 for value in known} if labels else {(): 0.0}
        )
        self._lock = threading.Lock()
        _families.append(self)

    def inc(self, *labels: str, by: float = 1) -> None:
        """Add to the count of these label values."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + by

    def collect(self) -> "Metric":
        """As the library wants it."""
        from prometheus_client.metrics_core import CounterMetricFamily  # noqa: PLC0415

        family = CounterMetricFamily(*self._about, labels=self._labels)
        for labels, value in self._values.copy().items():
            family.add_metric(labels, value)
        return family


class Gauge:
    """Goes up and down; without a value it is not told."""

    def __init__(self, name: str, what: str, *labels: str) -> None:
        self._about = (name, what)
        self._labels = labels
        self._values: dict[Labels, float] = {}
        _families.append(self)

    def set(self, value: float, *labels: str) -> None:
        """The value now."""
        self._values[labels] = value

    def replace(self, values: dict[Labels, float]) -> None:
        """All values at once; an empty one says that nobody knows."""
        self._values = values

    def collect(self) -> "Metric":
        """As the library wants it."""
        from prometheus_client.metrics_core import GaugeMetricFamily  # noqa: PLC0415

        family = GaugeMetricFamily(*self._about, labels=self._labels)
        for labels, value in self._values.copy().items():
            family.add_metric(labels, value)
        return family


class Histogram:
    """How observations are spread over buckets, given by their upper bounds."""

    def __init__(self, name: str, what: str, *labels: str, buckets: Sequence[float]) -> None:
        self._about = (name, what)
        self._labels = labels
        self._bounds = tuple(buckets)
        #: Observations by bucket, the last one without a bound; and their sum.
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        self._lock = threading.Lock()
        _families.append(self)

    def observe(self, value: float, *labels: str) -> None:
        """Count one observation."""
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            counts = self._counts.get(labels)
            if counts is None:
                counts = self._counts[labels] = [0] * (len(self._bounds) + 1)
                self._sums[labels] = 0
            counts[bucket] += 1
            self._sums[labels] += value

    def collect(self) -> "Metric":
        """As the library wants it."""
        from prometheus_client.metrics_core import HistogramMetricFamily  # noqa: PLC0415

        family = HistogramMetricFamily(*self._about, labels=self._labels)
        with self._lock:
            told = [
                (labels, [*counts], self._sums[labels]) for labels, counts in self._counts.items()
            ]
        for labels, counts, total in told:
            family.add_metric(labels, list(self._cumulative(counts)), total)
        return family

    def _cumulative(self, counts: list[int]) -> Iterator[tuple[str, float]]:
        from prometheus_client.utils import floatToGoString  # noqa: PLC0415

        below = 0
        for bound, count in zip((*self._bounds, math.inf), counts, strict=True):
            below += count
            yield str(floatToGoString(bound)), below  # type: ignore[no-untyped-call]


def read_at_scrape(reading: Callable[[], None]) -> None:
    """Have this called before each scrape; it sets the gauges that nobody else keeps."""
    _readings.append(reading)


def exposition() -> bytes:
    """Everything that this process counts, with its processor time, memory and files."""
    from prometheus_client import generate_latest  # noqa: PLC0415

    for reading in _readings:
        reading()
    return generate_latest(_registry())


@cache
def _registry() -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415
    from prometheus_client.registry import Collector  # noqa: PLC0415

    class Ours(Collector):
        def collect(self) -> "Iterator[Metric]":
            return (family.collect() for family in _families)

    registry = CollectorRegistry()
    registry.register(Ours())
    ProcessCollector(registry=registry)
    return registry
