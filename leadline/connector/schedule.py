"""Schedules the relay: calls outbox-relay every few seconds with the internal key.

Used on every platform: OpenFaaS's cron connector and a Knative PingSource cannot send a key, and a
Kubernetes CronJob runs at most once a minute.
"""

import argparse
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

if __name__ == "__main__":  # before the imports that it speeds up
    from leadline.runtime.serving import cold_start

    cold_start.prepare()

import structlog

from leadline.runtime import cleartext
from leadline.runtime.http import auth
from leadline.runtime.serving import cold_start
from leadline.runtime.telemetry import log

#: Longer than a tick lasts, and shorter than a gateway's 60 s.
_TIMEOUT_S = 55

logger = structlog.get_logger()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: that would send the key to another server."""

    def redirect_request(self, *_: Any) -> None:
        """Return None, which makes the redirect an error."""


#: Ignores a proxy in the environment: it would receive the key.
_opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))


def main() -> NoReturn:
    """Tick until SIGTERM or SIGINT, then exit with code 0."""
    cold_start.freeze()
    options = _options()
    log.configure("relay")
    cleartext.require_tls("functions", options.url)
    _exit_on_signals()
    logger.info("schedule starts", every_s=options.every)
    failure = ""
    while True:
        started = time.monotonic()
        failure = _log_change(failure, post(options.url))
        options.tick.touch()
        time.sleep(max(0.0, options.every - (time.monotonic() - started)))


def post(url: str) -> str:
    """Call the function once; returns the failure, "" on success."""
    headers = {"Content-Type": "application/json"}
    key = auth.own_key()
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, b"{}", headers, method="POST")  # noqa: S310 - our own URL
    try:
        with _opener.open(request, timeout=_TIMEOUT_S):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return f"status {error.code}"
    except OSError as error:
        # A URLError has its cause as `reason`.
        return type(getattr(error, "reason", error)).__name__


def _log_change(before: str, now: str) -> str:
    """Log only changes, not every failed call of an outage; returns `now`."""
    if now and now != before:
        logger.warning("scheduled call failed", reason=now)
    if before and not now:
        logger.info("scheduled call succeeds again")
    return now


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m leadline.connector.schedule", description=__doc__
    )
    parser.add_argument("url")
    parser.add_argument("--every", type=float, default=2.0, help="seconds")
    parser.add_argument("--tick", type=Path, required=True, help="file to touch after each call")
    return parser.parse_args()


def _exit_on_signals() -> None:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


if __name__ == "__main__":
    main()
