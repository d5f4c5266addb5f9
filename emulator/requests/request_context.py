"""The context of one HTTP request, with the simulated time that it has used."""

import asyncio
from dataclasses import dataclass, field

from emulator.http.webhooks import Webhook
from emulator.portal import Portal


class Interrupted(Exception):
    """The request exceeded the portal's time limit and was interrupted."""


@dataclass
class RequestContext:
    """One request and its simulated time, limited to `request_limit_s` (60 s by default)."""

    portal: Portal
    webhook: Webhook
    #: Its id in the journal.
    request_id: str = ""
    #: Simulated time used so far, and the emulated time at which it began.
    spent_s: float = 0.0
    began: float | None = None
    #: Set when the request has used more time than `request_limit_s`.
    cut_off: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def budget_owner(self) -> str:
        """The webhook or portal whose `operating` budget is charged."""
        by_portal = self.portal.settings.operating_scope == "portal"
        return self.webhook.portal if by_portal else self.webhook.code

    async def work(self, seconds: float) -> None:
        """Spend simulated time; past the limit, the client gets a 504.

        Then, the setting `cut` decides: `interrupt` raises Interrupted, `finish` continues unseen.
        """
        limit = self.portal.settings.request_limit_s
        self.spent_s += seconds
        await self._sleep_until(min(self.spent_s, limit))
        if self.spent_s <= limit:
            return
        self.cut_off.set()
        if self.portal.settings.cut == "interrupt":
            raise Interrupted
        await self._sleep_until(self.spent_s)

    async def _sleep_until(self, spent_s: float) -> None:
        """Sleep until a time relative to the start, so that overheads don't add up."""
        clock = self.portal.clock
        if self.began is None:
            self.began = clock.now()
        await clock.sleep(self.began + spent_s - clock.now())

    def note(self, what: str, **extra: object) -> None:
        """Append a line to the journal."""
        self.portal.journal.note(what, self.request_id, self.portal.clock.wall(), **extra)

    def command_duration_s(self) -> float:
        """How long the next command takes: `command_ms`, or a random time with this mean."""
        mean = self.portal.settings.command_ms / 1000
        if self.portal.settings.latency == "exponential" and mean:
            return self.portal.latencies.expovariate(1 / mean)
        return mean
