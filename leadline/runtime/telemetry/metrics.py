"""The metrics of a process, and their Prometheus exposition at `/metrics`.

A counter is a dictionary under a lock. The library that writes Prometheus' format takes a tenth of
a second to import, so the first scrape imports it, not the cold start.
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
    """A metric with all its label values."""

    def collect(self) -> "Metric":
        """The metric as an object of prometheus-client."""


_families: list[_Family] = []
_scrape_hooks: list[Callable[[], None]] = []


class Counter:
    """A counter; `name` ends in `_total`.

    `label_values`, of a single label, are exposed from the start, as 0: otherwise `rate` misses the
    first increment (https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics).
    """

    def __init__(
        self, name: str, help_text: str, *labels: str, label_values: Iterable[str] = ()
    ) -> None:
        self._description = (name, help_text)
        self._labels = labels
        self._values: dict[Labels, float] = (
            {(value,): 0.0 for value in label_values} if labels else {(): 0.0}
        )
        self._lock = threading.Lock()
        _families.append(self)

    def inc(self, *labels: str, by: float = 1) -> None:
        """Add to the counter of these label values."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + by

    def collect(self) -> "Metric":
        """The metric as an object of prometheus-client."""
        from prometheus_client.metrics_core import CounterMetricFamily  # noqa: PLC0415 - at a scrape only

        family = CounterMetricFamily(*self._description, labels=self._labels)
        for labels, value in self._values.copy().items():
            family.add_metric(labels, value)
        return family


class Gauge:
    """A gauge; not exposed until it has a value."""

    def __init__(self, name: str, help_text: str, *labels: str) -> None:
        self._description = (name, help_text)
        self._labels = labels
        self._values: dict[Labels, float] = {}
        _families.append(self)

    def set(self, value: float, *labels: str) -> None:
        """Set the value of these label values."""
        self._values[labels] = value

    def replace(self, values: dict[Labels, float]) -> None:
        """Replace all values; empty if they are unknown."""
        self._values = values

    def collect(self) -> "Metric":
        """The metric as an object of prometheus-client."""
        from prometheus_client.metrics_core import GaugeMetricFamily  # noqa: PLC0415 - at a scrape only

        family = GaugeMetricFamily(*self._description, labels=self._labels)
        for labels, value in self._values.copy().items():
            family.add_metric(labels, value)
        return family


class Histogram:
    """A histogram; `buckets` are upper bounds."""

    def __init__(self, name: str, help_text: str, *labels: str, buckets: Sequence[float]) -> None:
        self._description = (name, help_text)
        self._labels = labels
        self._bounds = tuple(buckets)
        #: Observations in each bucket, the last one unbounded; and their sum.
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        self._lock = threading.Lock()
        _families.append(self)

    def observe(self, value: float, *labels: str) -> None:
        """Record a value."""
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            counts = self._counts.get(labels)
            if counts is None:
                counts = self._counts[labels] = [0] * (len(self._bounds) + 1)
                self._sums[labels] = 0
            counts[bucket] += 1
            self._sums[labels] += value

    def collect(self) -> "Metric":
        """The metric as an object of prometheus-client."""
        from prometheus_client.metrics_core import HistogramMetricFamily  # noqa: PLC0415 - at a scrape only

        family = HistogramMetricFamily(*self._description, labels=self._labels)
        with self._lock:
            snapshot = [
                (labels, [*counts], self._sums[labels]) for labels, counts in self._counts.items()
            ]
        for labels, counts, total in snapshot:
            family.add_metric(labels, list(self._cumulative(counts)), total)
        return family

    def _cumulative(self, counts: list[int]) -> Iterator[tuple[str, float]]:
        from prometheus_client.utils import floatToGoString  # noqa: PLC0415 - at a scrape only

        total = 0
        for bound, count in zip((*self._bounds, math.inf), counts, strict=True):
            total += count
            yield str(floatToGoString(bound)), total  # type: ignore[no-untyped-call]


def on_scrape(hook: Callable[[], None]) -> None:
    """Register a hook that is called before each scrape, to set gauges."""
    _scrape_hooks.append(hook)


def exposition() -> bytes:
    """All metrics of this process, with its CPU time, memory and open files."""
    from prometheus_client import generate_latest  # noqa: PLC0415 - at a scrape only

    for hook in _scrape_hooks:
        hook()
    return generate_latest(_registry())


@cache
def _registry() -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415 - at a scrape only
    from prometheus_client.registry import Collector  # noqa: PLC0415 - at a scrape only

    class OurCollector(Collector):
        def collect(self) -> "Iterator[Metric]":
            return (family.collect() for family in _families)

    registry = CollectorRegistry()
    registry.register(OurCollector())
    ProcessCollector(registry=registry)
    return registry
