"""`python -m local.gateway`: serve the functions in the file LEADLINE_EDGE on HOST:PORT."""

import asyncio
import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__":  # before the imports that it speeds up
    from leadline.runtime.serving import cold_start

    cold_start.prepare()

from aiohttp import web

from leadline.runtime.serving import cold_start
from leadline.runtime.serving.drain import TRANSIT_S, refuse_connections
from leadline.runtime.telemetry import log
from local.gateway.app import build
from local.gateway.request_log import RequestLog
from local.gateway.responses import Connection, close_connections_once

#: After SIGTERM: how long connections may take to close, and requests to complete.
_DRAIN_S = 2.0
_SHUTDOWN_S = 5.0
_POLL_S = 0.05
#: How long a connection may be idle, or the head of a request may take.
_HEAD_WITHIN_S = 30


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    cold_start.freeze()
    log.configure("edge")
    asyncio.run(_serve())
    return 0


async def _serve() -> None:
    stopped = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
    app = build(Path(os.environ["LEADLINE_EDGE"]))
    app.on_response_prepare.append(close_connections_once(stopped))
    runner = web.AppRunner(app, shutdown_timeout=_SHUTDOWN_S, handler_cancellation=True)
    await runner.setup()
    listener = await _listen(runner.server)
    await stopped.wait()
    refuse_connections(listener.sockets[0].getsockname()[1])
    await asyncio.sleep(TRANSIT_S)
    listener.close()
    await _drain(runner.server)
    await runner.cleanup()


async def _drain(server: web.Server | None) -> None:
    """Wait until connections close: one closed by us may just have got another request."""
    for _ in range(round(_DRAIN_S / _POLL_S)):
        if not (server and server.connections):
            break
        await asyncio.sleep(_POLL_S)


async def _listen(server: web.Server | None) -> asyncio.Server:
    """As web.TCPSite does, with our own class of connections."""
    assert server  # noqa: S101 - made by setup()
    loop = asyncio.get_running_loop()
    host = os.environ.get("HOST", "127.0.0.1")
    port = int(os.environ.get("PORT", "3000"))
    return await loop.create_server(
        # Bodies pass through unchanged: decompression is up to the function.
        lambda: Connection(
            server,
            loop=loop,
            auto_decompress=False,
            keepalive_timeout=_HEAD_WITHIN_S,
            access_log_class=RequestLog,
        ),
        host,
        port,
        reuse_address=True,
        backlog=128,
    )


if __name__ == "__main__":
    sys.exit(main())
