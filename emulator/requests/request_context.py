"""The context of one HTTP request, with the simulated time that it has used."""

import asyncio
from dataclasses import dataclass, field

from emulator.http.webhooks import Webhook
from emulator.portal import Portal


class Interrupted(Exception):
    """The request exceeded the portal's time limit and was interrupted."""


@dataclass
class RequestContext:
    """One request and its simulated time, limited to 60 s."""

    portal: Portal
    webhook: Webhook
    #: Its name in the journal.
    name: str = ""
    spent_s: float = 0.0
    began: float | None = None
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def budget_owner(self) -> str:
        """The webhook or portal whose `operating` budget is charged."""
        by_portal = self.portal.settings.operating_scope == "portal"
        return self.webhook.portal if by_portal else self.webhook.code

    async def work(self, seconds: float) -> None:
        """Spend simulated time; past the limit, interrupt, or continue unseen (setting `cut`)."""
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
        """Sleep until a time relative to the start, so that overheads don't add up."""
        clock = self.portal.clock
        if self.began is None:
            self.began = clock.now()
        await clock.sleep(self.began + spent_s - clock.now())

    def note(self, what: str, **extra: object) -> None:
        """Append a line to the journal."""
        self.portal.journal.note(what, self.name, self.portal.clock.wall(), **extra)

    def latency_s(self) -> float:
        """A random or fixed duration for the next command."""
        mean = self.portal.settings.command_ms / 1000
        if self.portal.settings.latency == "exponential" and mean:
            return self.portal.generator.expovariate(1 / mean)
        return mean
