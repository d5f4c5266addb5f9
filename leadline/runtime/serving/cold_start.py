"""Shorten the cold start of a function, which consists mostly of imports."""

import gc
import os
import sys

from leadline.runtime.telemetry import otel_environment

#: Optional imports that no function needs. structlog's import of rich and granian's of dotenv are
#: slow; with setproctitle, granian overwrites its environment, by which the local run finds its
#: processes.
UNUSED = ("rich", "dotenv", "setproctitle")
#: redis-py imports OpenTelemetry's SDK whether or not traces are on.
TRACES = "opentelemetry"
#: Allocations before a garbage collection. A request makes hundreds and leaves no cycles; with
#: Python's default threshold, 700, collections took some 3 % of its time. Costs a few MiB.
GC_THRESHOLD = 20_000


def prepare() -> None:
    """Call before all other imports: hide unused packages and disable garbage collection.

    A collection during imports visits every object created so far, and finds hardly any garbage.
    """
    gc.disable()
    # https://docs.pydantic.dev/latest/concepts/plugins/: the search visits every package
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")
    for name in UNUSED if otel_environment.is_requested() else (*UNUSED, TRACES):
        # https://docs.python.org/3/reference/import.html#the-module-cache: None is "not found"
        sys.modules[name] = None  # type: ignore[assignment]


def freeze() -> None:
    """Call after all imports: enable garbage collection, less often and only for new objects."""
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)  # the older generations half as often as by default
    gc.enable()
