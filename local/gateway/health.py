"""GET /healthz: checks of every part, in parallel, cached for a second."""

import asyncio
import os
import time
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web

from leadline.runtime import secrets
from local.gateway import checks
from local.gateway.config import Config, ConfigFile
from local.gateway.functions import Functions

_CACHED_S = 1.0

#: `status`, and for a failing part the `reason`.
Part = dict[str, str]


class Health:
    """The health of the parts in the configuration, and of the servers in the secrets."""

    def __init__(self, config: ConfigFile, functions: Functions) -> None:
        self._config = config
        self._functions = functions
        self._lock = asyncio.Lock()
        #: When the last checks ended (monotonic), and when they began (ISO 8601).
        self._checked_at = float("-inf")
        self._began_at = ""
        self._parts: dict[str, Part] = {}
        self._served: dict[str, str] = {}

    async def handle(self, _request: web.Request) -> web.Response:
        """200 if every part works; 503 with the names of those that don't.

        The answer may be a second old, so that frequent requests cost the parts little.
        """
        async with self._lock:
            is_old = time.monotonic() - self._checked_at >= _CACHED_S
            if is_old or self._served != self._functions.served:
                self._served = self._functions.served
                self._began_at = datetime.now(UTC).isoformat()
                self._parts = await _check_all(self._config.current, self._served)
                self._checked_at = time.monotonic()
        failing = [name for name, part in self._parts.items() if part["status"] == "failing"]
        body: dict[str, Any] = {
            "status": "failing" if failing else "ok",
            "checked_at": self._began_at,
            "parts": self._parts,
        }
        if failing:
            body["failing"] = failing
        return web.json_response(body, status=503 if failing else 200)


async def _check_all(config: Config, functions: Mapping[str, str]) -> dict[str, Part]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        pending = _checks(config, functions, session)
        results = await asyncio.gather(*(_run(check) for check in pending.values()))
    parts = dict(zip(pending, results, strict=True))
    if not _is_emulated(config):
        # A check would spend the limits of a real portal, and spread its webhook.
        parts["bitrix24"] = {"status": "not checked"}
    return parts


def _checks(
    config: Config, functions: Mapping[str, str], session: aiohttp.ClientSession
) -> dict[str, Awaitable[None]]:
    """A check for each part that this system has, by its name."""
    pending: dict[str, Awaitable[None]] = {
        name: checks.check_http(session, f"{url}/_/ready") for name, url in functions.items()
    }
    database, amqp, redis = (
        secrets.get(name) for name in ("database-url", "amqp-url", "redis-url")
    )
    if database:
        pending["postgres"] = asyncio.to_thread(checks.check_postgres, database)
    if amqp:
        pending["rabbitmq"] = asyncio.to_thread(checks.check_rabbitmq, amqp)
    if redis:
        pending["redis"] = asyncio.to_thread(checks.check_redis, redis)
    if redis and config.workers:
        pending["worker"] = asyncio.to_thread(checks.check_workers, redis)
        pending["portal"] = asyncio.to_thread(checks.check_portal, redis)
    if config.connector:
        pending["connector"] = checks.check_http(session, f"{config.connector}/healthz")
    if _is_emulated(config):
        pending["bitrix24"] = checks.check_http(session, f"{config.emulator}/_emulator/settings")
    if config.relay:
        pending["relay"] = asyncio.to_thread(checks.check_relay, config.relay)
    return pending


def _is_emulated(config: Config) -> bool:
    """Whether the workers call the emulator, which may also run unused."""
    return bool(config.emulator) and os.environ.get("EMULATOR") != "unused"


async def _run(check: Awaitable[None]) -> Part:
    """Run a check, and report its outcome."""
    try:
        await asyncio.wait_for(check, checks.TIMEOUT_S)
    except checks.CheckFailed as error:
        return {"status": "failing", "reason": str(error)}
    except TimeoutError:
        return {"status": "failing", "reason": f"no answer within {checks.TIMEOUT_S} s"}
    except Exception as error:  # noqa: BLE001 - clients fail in many ways; none may hide other parts
        # Only the type: the text may quote a URL with its password.
        return {"status": "failing", "reason": type(error).__name__}
    return {"status": "ok"}
