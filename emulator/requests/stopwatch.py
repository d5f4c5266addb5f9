"""The `time` object of every result."""

from typing import Any

from emulator.clock import iso
from emulator.limits.operating import Meter
from emulator.portal import Portal


class Stopwatch:
    """Measures a request or command; `read` returns its `time` object."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._wall = portal.clock.wall()
        self._began = portal.clock.now()
        self._processing_from = self._began

    def begin_processing(self) -> None:
        """Mark the end of reception and the start of processing."""
        self._processing_from = self._portal.clock.now()

    def read(self, meter: Meter) -> dict[str, Any]:
        """The `time` object now; `meter` is the method's `operating` budget."""
        clock = self._portal.clock
        now, wall = clock.now(), clock.wall()
        time: dict[str, Any] = {
            "start": self._wall,
            "finish": wall,
            "duration": now - self._began,
            "processing": now - self._processing_from,
            "date_start": iso(self._wall),
            "date_finish": iso(wall),
        }
        setting = self._portal.settings.operating_fields
        if setting == "both":
            time["operating_reset_at"] = int(clock.wall_at(meter.reset_at))
        if setting != "none":
            time["operating"] = meter.operating or 0  # as the portal writes it: 0, not 0.0
        return time
