"""Outgoing events: what the portal POSTs to handlers when an object is written.

Like the portal: a form with only the object's id, sent once without retries, for every write,
including those of the receiver. `ts` is the time of sending. Handlers of an application get
tokens, the outgoing webhook does not. Documentation: events/index.md.
"""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp

from emulator.clock import Clock
from emulator.entities.store import Store
from emulator.settings import Settings
from emulator.users import ADMIN

_Object = tuple[int, int]  # id and type of the object that an event is about; 0: none

#: Sent to an application when its offline queue has grown.
OFFLINE_EVENT = "ONOFFLINEEVENT"
_PENALTY_MAX_S = 60.0
_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True)
class Handler:
    """A subscription to an event; `id` is 0 for the outgoing webhook, which gets every event."""

    id: int
    event: str
    url: str
    #: The user whose token the handler gets; 0: the author of the write.
    auth_type: int = 0
    #: The minimum seconds between two calls, for ONOFFLINEEVENT.
    min_timeout: float = 1


class EventSender:
    """Sends events to handlers."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._handlers: list[Handler] = []
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        #: By URL: the call that a later one must not overtake.
        self._latest: dict[str, asyncio.Task[None]] = {}
        self._shuffle = random.Random(0)  # noqa: S311 (repeatable, not secret)
        #: Ids of the handlers of ONOFFLINEEVENT that will be called, and when each was called last.
        self._announced: set[int] = set()
        self._announced_at: dict[int, float] = {}
        #: By how many seconds calls of slow handlers are delayed, by URL.
        self._penalties: dict[str, float] = {}
        self.sent = 0
        self.failed = 0
        self.load()

    def load(self) -> None:
        """Read the handlers from the store."""
        rows = self._store.db.execute(
            "SELECT id, event, url, auth_type, min_timeout FROM handler ORDER BY id"
        )
        self._handlers = [Handler(*row) for row in rows]

    def handlers(self) -> list[Handler]:
        """Handlers bound by event.bind."""
        return self._handlers

    def bind(self, event: str, url: str, auth_type: int = 0, min_timeout: float = 1) -> None:
        """Add a handler."""
        self._store.db.execute(
            "INSERT INTO handler (event, url, auth_type, min_timeout) VALUES (?, ?, ?, ?)",
            (event, url, auth_type, min_timeout),
        )
        self.load()

    def unbind(self, event: str, url: str | None, auth_type: int | None = None) -> int:
        """Remove an event's handlers, all or those of one URL or user; returns their number."""
        cursor = self._store.db.execute(
            "DELETE FROM handler WHERE event = ? AND (? IS NULL OR url = ?)"
            " AND (? IS NULL OR auth_type = ?)",
            (event, url, url, auth_type, auth_type),
        )
        self.load()
        return cursor.rowcount

    def penalties(self) -> dict[str, float]:
        """By how many seconds calls of slow handlers are delayed, by URL."""
        return {url: seconds for url, seconds in self._penalties.items() if seconds}

    def send(
        self, event: str, owner_id: int, settings: Settings, user: int, type_id: int = 0
    ) -> None:
        """Start to send the event of a write to all its handlers.

        `user`: the author of the write, 0 if the portal itself wrote. `type_id`: the type of the
        object, for events whose name does not contain it.
        """
        if not self._handlers and not settings.outgoing_webhook_url:
            return
        for handler in self._handlers_for(event, settings):
            for _ in range(settings.event_copies):
                self._start(handler, event, (owner_id, type_id), settings, user)

    def announce_offline_events(self, settings: Settings) -> None:
        """Notify handlers of ONOFFLINEEVENT that a queue has grown, at most once per interval."""
        for handler in self._handlers:
            if handler.event == OFFLINE_EVENT and handler.id not in self._announced:
                last_call = self._announced_at.get(handler.id, -handler.min_timeout)
                due = last_call + handler.min_timeout
                self._announced.add(handler.id)
                task = asyncio.create_task(self._announce(handler, due, settings))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _announce(self, handler: Handler, due: float, settings: Settings) -> None:
        await self._clock.sleep(due - self._clock.now())
        self._announced.discard(handler.id)
        self._announced_at[handler.id] = self._clock.now()
        user = handler.auth_type or ADMIN
        form = _form(handler, OFFLINE_EVENT, (0, 0), settings.application_token, user)
        await self._post(handler.url, form, delay=0, earlier=None, settings=settings)

    async def stop(self) -> None:
        """Cancel events that are not sent yet, forget all delays and counts, and disconnect."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._latest.clear()
        self._penalties.clear()
        self._announced.clear()
        self._announced_at.clear()
        self.sent = self.failed = 0
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _handlers_for(self, event: str, settings: Settings) -> Iterator[Handler]:
        if settings.outgoing_webhook_url:
            yield Handler(id=0, event=event, url=settings.outgoing_webhook_url)
        for handler in self.handlers():
            if handler.event == event:
                yield handler

    def _start(
        self,
        handler: Handler,
        event: str,
        subject: _Object,
        settings: Settings,
        user: int,
    ) -> None:
        """Start the call of a handler: delayed, and after its previous call if order matters."""
        form = _form(handler, event, subject, settings.application_token, user)
        delay = settings.event_delay_ms / 1000 + self._penalties.get(handler.url, 0)
        if settings.event_order == "shuffled":
            delay += self._shuffle.random()  # up to a second
        is_in_order = settings.event_order == "as_written"
        earlier = self._latest.get(handler.url) if is_in_order else None
        task = asyncio.create_task(self._post(handler.url, form, delay, earlier, settings))
        self._latest[handler.url] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(
        self,
        url: str,
        form: dict[str, str],
        delay: float,
        earlier: asyncio.Task[None] | None,
        settings: Settings,
    ) -> None:
        """Call a handler after `delay` seconds and after the call `earlier`; count the outcome."""
        await self._clock.sleep(delay)
        if earlier is not None:
            await asyncio.wait([earlier])
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        form["ts"] = str(int(self._clock.wall()))
        began = self._clock.now()
        try:
            async with self._session.post(url, data=form, allow_redirects=False):
                self.sent += 1
        except (aiohttp.ClientError, TimeoutError, ValueError):
            self.failed += 1  # the portal never retries an event
        self._adjust_penalty(url, self._clock.now() - began, settings)

    def _adjust_penalty(self, url: str, seconds: float, settings: Settings) -> None:
        """Increase the delay of a slow handler, and decrease it once the handler is quick."""
        penalty = self._penalties.get(url, 0.0)
        if settings.slow_handler_s and seconds > settings.slow_handler_s:
            self._penalties[url] = min(_PENALTY_MAX_S, 2 * penalty + 1)
        elif penalty:
            self._penalties[url] = penalty / 2 if penalty > 1 else 0.0


def _form(
    handler: Handler, event: str, subject: _Object, application_token: str, user: int
) -> dict[str, str]:
    """The form that is posted; the outgoing webhook (handler 0) gets no user's token."""
    owner_id, type_id = subject
    form = {
        "event": event,
        "event_handler_id": str(handler.id),
        **({"data[FIELDS][ID]": str(owner_id)} if owner_id else {}),
        **({"data[FIELDS][ENTITY_TYPE_ID]": str(type_id)} if type_id else {}),
        "ts": "",
    }
    auth = {
        "domain": "portal.bitrix24.local",
        "client_endpoint": "https://portal.bitrix24.local/rest/",
        "server_endpoint": "https://oauth.bitrix.info/rest/",
        "member_id": "a223c6b3710f85df22e9377d6c4f7553",
        "application_token": application_token,
    }
    if handler.id:
        token_user = handler.auth_type or user
        tokens = {"access_token": f"local-access-token-{token_user}", "expires_in": "3600"}
        auth = {**(tokens if token_user else {}), "scope": "crm", "status": "L", **auth}
    return {**form, **{f"auth[{name}]": value for name, value in auth.items()}}
