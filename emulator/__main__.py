"""Start the emulator of Bitrix24: `python -m emulator --help` lists the options."""

import argparse
import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path

from aiohttp import web

from emulator.app import build
from emulator.entities.store import Store
from emulator.http.certificate import Certificate, make_certificate
from emulator.portal import Portal
from emulator.telemetry.journal import Journal

#: How long requests in flight may take at a shutdown: a test that stops the emulator waits.
_SHUTDOWN_S = 0.3


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    options = _options()
    try:
        asyncio.run(_serve(options))
    except (OSError, sqlite3.Error) as error:
        sys.stderr.write(f"bitrix24 emulator: {error}\n")
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m emulator", description="Start the emulator of Bitrix24."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("BITRIX_PORT", "3024")))
    parser.add_argument("--state", type=Path, default=Path(".local/bitrix24.sqlite3"))
    parser.add_argument(
        "--journal",
        type=Path,
        default=os.environ.get("BITRIX_JOURNAL") or None,
        help="append requests, commands and answers to this file",
    )
    parser.add_argument(
        "--tls", action="store_true", help="serve https with a new certificate next to the state"
    )
    parser.add_argument("--tls-cert", type=Path, help="serve https with this certificate")
    parser.add_argument("--tls-key", type=Path)
    return parser.parse_args()


async def _serve(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
    store = Store(options.state)
    journal = Journal(options.journal)
    runner = web.AppRunner(
        build(Portal(store, journal)),
        access_log=None,
        keepalive_timeout=30,  # seconds; aiohttp waits as long for the head of a request
        shutdown_timeout=_SHUTDOWN_S,
        handler_cancellation=False,  # as on a real portal, a disconnect does not stop a request
    )
    try:
        await runner.setup()
        certificate = _certificate(options)
        tls = certificate.tls_context() if certificate else None
        site = web.TCPSite(runner, options.host, options.port, ssl_context=tls)
        await site.start()
        _print_address(site, certificate)
        await stopped.wait()
    finally:
        await runner.cleanup()
        store.close()
        journal.close()


def _certificate(options: argparse.Namespace) -> Certificate | None:
    if options.tls_cert is not None:
        return Certificate(options.tls_cert, options.tls_key or options.tls_cert)
    if not options.tls:
        return None
    extra_hosts = [] if options.host in {"0.0.0.0", "::"} else [options.host]  # noqa: S104
    return make_certificate(options.state.parent, ["localhost", "127.0.0.1", "::1", *extra_hosts])


def _print_address(site: web.TCPSite, certificate: Certificate | None) -> None:
    """Print the address; with --port 0 the only way to learn the port."""
    server = site._server  # noqa: SLF001 (aiohttp has no public way to the chosen port)
    host, port = server.sockets[0].getsockname()[:2]  # type: ignore[union-attr]
    base = f"{'https' if certificate else 'http'}://{host}:{port}"
    trust = f"  certificate: {certificate.cert}" if certificate else ""
    sys.stdout.write(
        f"Bitrix24 emulator: {base}/rest/1/local-webhook-code/  board: {base}/{trust}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
