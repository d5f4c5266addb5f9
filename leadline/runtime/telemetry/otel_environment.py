"""Whether OpenTelemetry's environment variables request traces.

Separate from `tracing`, so that `cold_start` can check it before any other import.
"""

import os

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def is_requested() -> bool:
    """Whether the environment requests traces."""
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    is_off |= os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    return not is_off and any(os.environ.get(name) for name in ENDPOINTS)
