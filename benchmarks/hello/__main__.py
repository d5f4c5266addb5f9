"""`python -m benchmarks.hello`: serve the bare hello with the server of our functions.

The same granian with the same threads (PORT, THREADS), and the plain
`functions_framework.create_app()` in it: none of our auth, log, limits or probes.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import Interfaces

FOLDER = Path(__file__).parent


def _load(target: str) -> Callable[..., Any]:
    import functions_framework  # noqa: PLC0415 - in the worker that serves it

    app: Any = functions_framework.create_app(target, str(FOLDER / "main.py"), "http")  # type: ignore[no-untyped-call]
    loaded: Callable[..., Any] = app.wsgi_app
    return loaded


def main() -> None:
    """Serve until SIGTERM."""
    Granian(
        "hello",
        address=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ["PORT"]),
        interface=Interfaces.WSGI,
        blocking_threads=int(os.environ.get("THREADS", "8")),
        log_enabled=False,
        websockets=False,
    ).serve(target_loader=_load)


if __name__ == "__main__":
    main()
