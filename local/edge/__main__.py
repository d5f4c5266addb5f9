"""`python -m local.edge`: serve on HOST:PORT what the file LEADLINE_EDGE lists."""

import os
import sys
from pathlib import Path

from aiohttp import web

from leadline.runtime import log
from local.edge.app import build

_LAST_WORDS_S = 0.5


def main() -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    log.configure("edge")
    web.run_app(
        build(Path(os.environ["LEADLINE_EDGE"])),
        host=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "3000")),
        print=None,
        access_log=None,
        shutdown_timeout=_LAST_WORDS_S,
        handler_cancellation=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
