"""The emulated portal: everything that one request can see or change."""

import asyncio
import random
from collections.abc import Coroutine, Mapping
from typing import Any

from emulator.clock import Clock
from emulator.events.offline import OfflineQueue
from emulator.events.online import Announcer
from emulator.faults import Faults
from emulator.leads.store import Store
from emulator.limits.bucket import Buckets, Rate
from emulator.limits.operating import Meters
from emulator.settings import Settings
from emulator.telemetry.call_counts import Calls
from emulator.telemetry.journal import Journal
from emulator.telemetry.live_stream import Stream


class Portal:
    """Settings, memory, limits, faults and counts of one emulator."""

    def __init__(self, store: Store, journal: Journal | None = None) -> None:
        self.clock = Clock()
        self.journal = journal or Journal()
        self.store = store
        self.stream = Stream()
        self.announcer = Announcer(store, self.clock)
        self.offline = OfflineQueue(store)
        self._tasks: set[asyncio.Task[None]] = set()
        self._start_over()

    def _start_over(self) -> None:
        self.settings = Settings()
        self.clock.set_speed(1)
        self.calls = Calls()
        self.faults = Faults()
        self.buckets = Buckets()
        self.meters = Meters()
        self.chance = random.Random(0)  # noqa: S311 (simulated latency)

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Put settings in force; raises InvalidSetting and changes nothing on a bad one."""
        before, self.settings = self.settings, self.settings.changed(changes)
        if self.settings.speed != before.speed:
            self.clock.set_speed(self.settings.speed)
        if "seed" in changes:
            self.faults.seed(self.settings.seed)
            self.chance.seed(self.settings.seed)

    def rates(self) -> dict[str, Rate]:
        """The request limit of each portal."""
        now = self.settings
        return {
            "standard": Rate(now.rate_per_s, now.burst),
            "enterprise": Rate(now.enterprise_rate_per_s, now.enterprise_burst),
        }

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work that outlives its request until it ends or the portal is reset."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def reset(self) -> None:
        """Forget everything; work under way is broken off and commits nothing."""
        await self.stop()
        self.store.clear()
        self._start_over()
        self.stream.send("reset", {})

    async def stop(self) -> None:
        """Break off all work under way."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.announcer.stop()
