"""Let a process that serves a function start sooner: a cold start is imports, nearly all of it."""

import gc
import os
import sys

from leadline.runtime.telemetry import tracing

#: Libraries load them where they are installed, which takes longer than anything of ours, and no
#: function has a use for them: structlog rich, granian dotenv.
UNUSED = ("rich", "dotenv")
#: redis-py loads its SDK whether or not anybody wants traces.
TRACES = "opentelemetry"
#: New objects before a collection: a request makes hundreds and leaves no garbage in circles, and
#: Python's own 700 were some 3 % of its time. Costs some MiB.
YOUNG = 20_000


def begin() -> None:
    """Before the other imports: they find nothing of this, as in an image, and no collector runs.

    Each collection goes through all that the imports have made, and finds hardly any garbage.
    """
    gc.disable()
    # https://docs.pydantic.dev/latest/concepts/plugins/: they are looked for in every package
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")
    for name in UNUSED if tracing.is_wanted() else (*UNUSED, TRACES):
        # https://docs.python.org/3/reference/import.html#the-module-cache: None is "not found"
        sys.modules[name] = None  # type: ignore[assignment]


def end() -> None:
    """Once all is loaded: collect from now on, seldom, and never look at what stays anyway."""
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
    gc.enable()
