"""The schedule of outbox-relay: call it every few seconds with the internal key.

It runs in every home: neither OpenFaaS's cron connector nor a Knative PingSource can send a key,
and a Kubernetes CronJob runs once a minute at most.
"""

import argparse
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from leadline.runtime import cleartext
from leadline.runtime.http import auth
from leadline.runtime.telemetry import log

_TIMEOUT_S = 55

logger = structlog.get_logger()


class _Unmoved(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, which would take the key along to wherever it leads."""

    def redirect_request(self, *_: Any) -> None:
        """None: the answer is an error."""


#: Nor does the key go to a proxy that the environment names.
_opener = urllib.request.build_opener(_Unmoved, urllib.request.ProxyHandler({}))


def main() -> int:
    """Tick until SIGTERM or SIGINT; the exit code."""
    options = _options()
    log.configure("relay")
    cleartext.require_tls("functions", options.url)
    _leave_on_signals()
    logger.info("schedule starts", every_s=options.every)
    trouble = ""
    while True:
        started = time.monotonic()
        trouble = _tell(trouble, post(options.url))
        options.tick.touch()
        time.sleep(max(0.0, options.every - (time.monotonic() - started)))


def post(url: str) -> str:
    """Call the function once; what went wrong, or ""."""
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
        return type(getattr(error, "reason", error)).__name__


def _tell(before: str, now: str) -> str:
    """Log a change only: an outage of an hour is not two thousand lines."""
    if now and now != before:
        logger.warning("scheduled call failed", reason=now)
    if before and not now:
        logger.info("scheduled call works again")
    return now


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m leadline.ledger.schedule", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--every", type=float, default=2.0, help="seconds")
    parser.add_argument("--tick", type=Path, required=True, help="touched after each call")
    return parser.parse_args()


def _leave_on_signals() -> None:
    def leave(_signal: int, _frame: FrameType | None) -> None:
        sys.exit(0)

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, leave)


if __name__ == "__main__":
    sys.exit(main())
