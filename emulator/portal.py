"""The emulated portal: all state that a request can read or change."""

import asyncio
import random
from collections.abc import Coroutine, Mapping
from typing import Any

from emulator.clock import Clock
from emulator.entities.records import Records
from emulator.entities.recycle_bin import RecycleBin
from emulator.entities.setup.categories import Categories
from emulator.entities.setup.directories import Directories
from emulator.entities.setup.types import Types
from emulator.entities.setup.userfields import Schemas
from emulator.entities.store import Store
from emulator.events.offline import OfflineQueue
from emulator.events.online import EventSender
from emulator.faults import FaultRules
from emulator.limits.bucket import Buckets, Rate
from emulator.limits.operating import Meters
from emulator.settings import Settings
from emulator.telemetry.call_counts import CallCounts
from emulator.telemetry.journal import Journal
from emulator.telemetry.live_stream import LiveStream


class Portal:
    """Settings, CRM objects, limits, faults and counts of one emulator.

    What `Portal()` creates from the store survives a restart; `_initialize` creates the rest.
    """

    def __init__(self, store: Store, journal: Journal | None = None) -> None:
        self.clock = Clock()
        self.journal = journal or Journal()
        self.store = store
        self.types = Types(store)
        self.records = Records(store)
        self.schemas = Schemas(store, self.types)
        self.directories = Directories(store)
        self.categories = Categories(store, self.directories)
        self.bin = RecycleBin(store, self.types)
        self.stream = LiveStream()
        self.events = EventSender(store, self.clock)
        self.offline = OfflineQueue(store)
        #: Type and id of new objects whose multifield rows are still hidden (`phones_after_ms`).
        self.late_rows: list[tuple[int, int]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._initialize()

    def _initialize(self) -> None:
        self.settings = Settings()
        self.clock.set_speed(1)
        self.counts = CallCounts()
        self.faults = FaultRules()
        self.buckets = Buckets()
        self.meters = Meters()
        self.latencies = random.Random(0)  # noqa: S311 (repeatable, not secret)

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change settings, and apply a new speed or seed.

        Raises InvalidSetting and changes nothing if one is invalid.
        """
        before, self.settings = self.settings, self.settings.with_changes(changes)
        if self.settings.speed != before.speed:
            self.clock.set_speed(self.settings.speed)
        if "seed" in changes:
            self.faults.seed(self.settings.seed)
            self.latencies.seed(self.settings.seed)

    def rates(self) -> dict[str, Rate]:
        """The request limit of the standard and of the enterprise portal (`http/webhooks.py`)."""
        settings = self.settings
        return {
            "standard": Rate(settings.rate_per_s, settings.burst),
            "enterprise": Rate(settings.enterprise_rate_per_s, settings.enterprise_burst),
        }

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work in a task that may outlive its request; `stop` and `reset` cancel it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def reset(self) -> None:
        """Return to the initial state; work in progress is cancelled and commits nothing more."""
        await self.stop()
        self.store.clear()
        self.types.load()
        self.schemas.load()
        self.directories.load()
        self.categories.load()
        self.events.load()
        self.offline.load()
        self._initialize()
        self.stream.send("reset", {})

    async def stop(self) -> None:
        """Cancel all work in progress."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.events.stop()
