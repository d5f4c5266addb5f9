"""The forecast: how long the backlog takes, as a range at the measured rates, never a promise."""

from dataclasses import dataclass
from typing import Any, Literal

from leadline.ledger.throughput import Throughput

#: `empty`: nothing waits. `stalled`: nothing was settled lately, so nothing can be said. `growing`:
#: more is accepted than settled. `range`: between `low_s` and `high_s`, if no more is accepted.
Outlook = Literal["empty", "stalled", "growing", "range"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """When the backlog could be empty."""

    outlook: Outlook
    #: Writes per minute, over the last five minutes.
    settled_per_min: float
    accepted_per_min: float
    low_s: float | None = None
    high_s: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The forecast as the console reads it."""
        return {
            "outlook": self.outlook,
            "settled_per_min": round(self.settled_per_min, 1),
            "accepted_per_min": round(self.accepted_per_min, 1),
            "low_s": self.low_s,
            "high_s": self.high_s,
        }


def forecast(waiting: int, measured: Throughput, blocked_s: float = 0.0) -> Forecast:
    """The forecast for this many waiting users.

    `blocked_s`: seconds until calls can continue at all, such as the operating budget's reset.
    """
    _, settled, _ = measured.settled
    rates = [rate for rate in measured.settled if rate > 0]
    if not waiting:
        return Forecast("empty", settled, measured.accepted)
    if not rates:
        return Forecast("stalled", settled, measured.accepted)
    if measured.accepted > settled:
        return Forecast("growing", settled, measured.accepted)
    low_s, high_s = waiting / max(rates) * 60, waiting / min(rates) * 60
    return Forecast("range", settled, measured.accepted, blocked_s + low_s, blocked_s + high_s)
