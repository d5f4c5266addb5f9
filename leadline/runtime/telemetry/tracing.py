"""OpenTelemetry traces; imported only if OTEL_* variables configure an exporter.

A trace follows its write, by W3C traceparent: from the HTTP request into the ledger, through
RabbitMQ and the work queue to Bitrix24, and back with the reply. A span's parent is always passed
as a traceparent, never taken from the thread, since a write passes through many threads. Attributes
contain ids and counts, no personal data and no URLs.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import atexit
import os
from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from leadline.errors import BadConfiguration
from leadline.process import per_process
from leadline.runtime import cleartext
from leadline.runtime.telemetry.http_metrics import ROUTE, App, StartResponse
from leadline.runtime.telemetry.otel_environment import ENDPOINTS, is_requested

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import SpanContext, Tracer

Kind = Literal["SERVER", "CLIENT", "PRODUCER", "CONSUMER", "INTERNAL"]

_tracer: "Tracer | None" = None


@per_process
def is_enabled() -> bool:
    """Whether this process exports traces.

    Raises:
        BadConfiguration: traces are requested, but OpenTelemetry is not installed, or the exporter
            would not use TLS.
    """
    if not is_requested():
        return False
    if find_spec("opentelemetry") is None:
        raise BadConfiguration(f"{ENDPOINTS[0]} requests traces: install requirements/otel.txt")
    for name in ENDPOINTS:
        if endpoint := os.environ.get(name):
            cleartext.require_tls("otlp", endpoint)
    return True


class Span:
    """A span that has started; `end` ends it."""

    def __init__(
        self,
        name: str,
        kind: Kind,
        parent: str | None,
        *,
        links: Iterable[str] = (),
        **attributes: str | int,
    ) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - only if traces are on

        context = trace.set_span_in_context(trace.NonRecordingSpan(_context(parent)))
        self._span = _get_tracer().start_span(
            name,
            context,
            trace.SpanKind[kind],
            {f"leadline.{key}": value for key, value in attributes.items()},
            [trace.Link(_context(traceparent)) for traceparent in links],
        )

    @property
    def traceparent(self) -> str:
        """The traceparent for children of this span."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def end(self, error: str = "", name: str = "", **attributes: str | int) -> None:
        """End the span; `error` describes a failure, "" is a success; `name` replaces its name."""
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - only if traces are on

        for key, value in attributes.items():
            # Names of OpenTelemetry's conventions have dots, which a keyword argument can't have.
            self._span.set_attribute(key.replace("__", "."), value)
        if name:
            self._span.update_name(name)
        if error:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()


def trace_requests(app: App, function: str) -> App:
    """Middleware: a span for each request, which the function sees as its parent."""

    def middleware(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        status = "500"

        def start(line: str, *rest: Any) -> Any:
            nonlocal status
            status = line[:3]
            return start_response(line, *rest)

        method = environ["REQUEST_METHOD"]
        span = Span(function, "SERVER", environ.get("HTTP_TRACEPARENT"), function=function)
        environ["HTTP_TRACEPARENT"] = span.traceparent
        try:
            return app(environ, start)
        finally:
            route = environ.get(ROUTE, "/")
            span.end(
                status if status >= "500" else "",  # both have three digits
                f"{method} {route}" if ROUTE in environ else function,
                http__request__method=method,
                http__response__status_code=int(status),
                http__route=route,
            )

    return middleware


def start(processor: "SpanProcessor | None" = None) -> None:
    """Start tracing, with this processor or else the exporter that OTEL_* configure."""
    global _tracer  # noqa: PLW0603 - one per process, created after any fork
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - only if traces are on
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - only if traces are on

    name = os.environ.get("OTEL_SERVICE_NAME") or "leadline"
    resource = Resource.create({"service.name": name})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor or _exporter())
    atexit.register(provider.shutdown)
    _tracer = provider.get_tracer("leadline")


def _exporter() -> "SpanProcessor":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - only if traces are on
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - only if traces are on

    return BatchSpanProcessor(OTLPSpanExporter())


def _get_tracer() -> "Tracer":
    if _tracer is None:
        start()
    assert _tracer is not None  # noqa: S101 - just started
    return _tracer


def _context(traceparent: str | None) -> "SpanContext":
    from opentelemetry.trace import get_current_span  # noqa: PLC0415 - only if traces are on
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - only if traces are on
        TraceContextTextMapPropagator,
    )

    extracted = TraceContextTextMapPropagator().extract({"traceparent": traceparent or ""})
    return get_current_span(extracted).get_span_context()
