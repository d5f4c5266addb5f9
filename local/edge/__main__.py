"""`python -m local.edge`: serve on HOST:PORT what the file LEADLINE_EDGE lists."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from leadline.runtime import log
from local.edge.app import build

_LAST_WORDS_S = 0.5


def main() -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    log.configure("edge")
    asyncio.run(_serve())
    return 0


async def _serve() -> None:
    stopped = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stopped.set)
    runner = web.AppRunner(
        build(Path(os.environ["LEADLINE_EDGE"])),
        access_log=None,
        shutdown_timeout=_LAST_WORDS_S,
        handler_cancellation=True,
        # A body goes on as it came: what it is packed in is the function's affair.
        auto_decompress=False,
    )
    await runner.setup()
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "3000"))
    await web.TCPSite(runner, host, port).start()
    await stopped.wait()
    await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())
