"""Outgoing events: what the portal POSTs to handlers when a lead is written.

Like the portal: a form with only the lead's id, sent once without retries, for every write,
including those of the receiver.
"""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp

from emulator.clock import Clock
from emulator.leads.store import Store
from emulator.settings import Settings

LEAD_EVENTS = ("ONCRMLEADADD", "ONCRMLEADUPDATE", "ONCRMLEADDELETE")
_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True)
class Handler:
    """A subscription to an event."""

    id: int
    event: str
    url: str


class EventSender:
    """Sends events to handlers."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._latest: dict[str, asyncio.Task[None]] = {}
        self._generator = random.Random(0)  # noqa: S311 (shuffling)
        self.sent = 0
        self.failed = 0

    def handlers(self) -> list[Handler]:
        """Handlers bound by event.bind."""
        rows = self._store.db.execute("SELECT id, event, url FROM handler ORDER BY id")
        return [Handler(*row) for row in rows]

    def bind(self, event: str, url: str) -> None:
        """Add a handler."""
        self._store.db.execute("INSERT INTO handler (event, url) VALUES (?, ?)", (event, url))

    def unbind(self, event: str, url: str | None) -> int:
        """Remove an event's handlers, all or those of one URL; returns their number."""
        cursor = self._store.db.execute(
            "DELETE FROM handler WHERE event = ? AND (? IS NULL OR url = ?)", (event, url, url)
        )
        return cursor.rowcount

    def send(self, event: str, lead_id: int, settings: Settings) -> None:
        """Send an event to all handlers, without waiting."""
        for handler in self._handlers_for(event, settings):
            for _ in range(settings.event_copies):
                self._start(handler, event, lead_id, settings)

    async def stop(self) -> None:
        """Cancel events that are not sent yet."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._latest.clear()
        self.sent = self.failed = 0
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _handlers_for(self, event: str, settings: Settings) -> Iterator[Handler]:
        if settings.outgoing_webhook_url:
            yield Handler(0, event, settings.outgoing_webhook_url)
        for handler in self.handlers():
            if handler.event == event:
                yield handler

    def _start(self, handler: Handler, event: str, lead_id: int, settings: Settings) -> None:
        form = _form(handler, event, lead_id, int(self._clock.wall()), settings.application_token)
        delay = settings.event_delay_ms / 1000
        if settings.event_order == "shuffled":
            delay += self._generator.random()
        earlier = None
        if settings.event_order == "as_written":
            earlier = self._latest.get(handler.url)
        task = asyncio.create_task(self._post(handler.url, form, delay, earlier))
        self._latest[handler.url] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(
        self, url: str, form: dict[str, str], delay: float, earlier: asyncio.Task[None] | None
    ) -> None:
        await self._clock.sleep(delay)
        if earlier is not None:
            await asyncio.wait([earlier])
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        try:
            async with self._session.post(url, data=form, allow_redirects=False):
                self.sent += 1
        except (aiohttp.ClientError, TimeoutError, ValueError):
            self.failed += 1  # the portal never retries an event


def _form(handler: Handler, event: str, lead_id: int, ts: int, token: str) -> dict[str, str]:
    return {
        "event": event,
        "event_handler_id": str(handler.id),
        "data[FIELDS][ID]": str(lead_id),
        "ts": str(ts),
        "auth[domain]": "portal.bitrix24.local",
        "auth[client_endpoint]": "https://portal.bitrix24.local/rest/",
        "auth[server_endpoint]": "https://oauth.bitrix.info/rest/",
        "auth[member_id]": "a223c6b3710f85df22e9377d6c4f7553",
        "auth[application_token]": token,
    }
