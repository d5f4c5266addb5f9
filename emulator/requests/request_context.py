"""One HTTP request on its way through the portal, and the simulated time it has used."""

import asyncio
from dataclasses import dataclass, field

from emulator.http.webhooks import Webhook
from emulator.portal import Portal


class Interrupted(Exception):
    """The request ran into the portal's time limit and was broken off."""


@dataclass
class Visit:
    """Simulated work of one request, against the limit of 60 s a request."""

    portal: Portal
    webhook: Webhook
    #: Its name in the journal.
    name: str = ""
    spent_s: float = 0.0
    began: float | None = None
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def payer(self) -> str:
        """Whose `operating` budget pays."""
        by_portal = self.portal.settings.operating_scope == "portal"
        return self.webhook.portal if by_portal else self.webhook.code

    async def work(self, seconds: float) -> None:
        """Spend simulated time; past the limit, break off or go on unseen (switch `cut`)."""
        limit = self.portal.settings.request_limit_s
        self.spent_s += seconds
        await self._sleep_until(min(self.spent_s, limit))
        if self.spent_s <= limit:
            return
        self.cut.set()
        if self.portal.settings.cut == "interrupt":
            raise Interrupted
        await self._sleep_until(self.spent_s)

    async def _sleep_until(self, spent_s: float) -> None:
        """Sleep to a moment of the request's own time: overheads of fifty commands don't add up."""
        clock = self.portal.clock
        if self.began is None:
            self.began = clock.now()
        await clock.sleep(self.began + spent_s - clock.now())

    def note(self, what: str, **more: object) -> None:
        """A line in the journal."""
        self.portal.journal.note(what, self.name, self.portal.clock.wall(), **more)

    def latency_s(self) -> float:
        """How long the next command takes."""
        mean = self.portal.settings.command_ms / 1000
        if self.portal.settings.latency == "exponential" and mean:
            return self.portal.chance.expovariate(1 / mean)
        return mean
