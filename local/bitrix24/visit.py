"""One HTTP request on its way through the portal, and the simulated time it has used."""

import asyncio
from dataclasses import dataclass, field

from local.bitrix24.portal import Portal, Webhook


class Interrupted(Exception):
    """The request ran into the portal's time limit and was broken off."""


@dataclass
class Visit:
    """Simulated work of one request, against the limit of 60 s a request."""

    portal: Portal
    webhook: Webhook
    spent_s: float = 0.0
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def payer(self) -> str:
        """Whose `operating` budget pays."""
        by_portal = self.portal.settings.operating_scope == "portal"
        return self.webhook.portal if by_portal else self.webhook.code

    async def work(self, seconds: float) -> None:
        """Spend simulated time; past the limit, break off or go on unseen (switch `cut`)."""
        left = self.portal.settings.request_limit_s - self.spent_s
        if seconds <= left:
            self.spent_s += seconds
            await self.portal.clock.sleep(seconds)
            return
        self.spent_s += seconds
        await self.portal.clock.sleep(left)
        self.cut.set()
        if self.portal.settings.cut == "interrupt":
            raise Interrupted
        await self.portal.clock.sleep(seconds - max(left, 0.0))

    def latency_s(self) -> float:
        """How long the next command takes."""
        mean = self.portal.settings.command_ms / 1000
        if self.portal.settings.latency == "exponential" and mean:
            return self.portal.chance.expovariate(1 / mean)
        return mean
