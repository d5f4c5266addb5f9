"""The forecast: how long the backlog will take at the measured rates, as a range."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from leadline.ledger.throughput import Throughput

#: `empty`: no user waits. `stalled`: no write was settled lately, so there is no forecast.
#: `growing`: more writes were accepted than settled, as after an import; `range`: fewer were. In
#: both cases the backlog takes between `low_s` and `high_s` if no more writes are accepted.
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
        """The forecast as JSON for the console."""
        return {
            "outlook": self.outlook,
            "settled_per_min": round(self.settled_per_min, 1),
            "accepted_per_min": round(self.accepted_per_min, 1),
            "low_s": self.low_s,
            "high_s": self.high_s,
        }


def blocked_s(budget: Mapping[str, Any], now: datetime) -> float:
    """Seconds until no method's operating budget is used up any more.

    `budget`: that part of the status; one with an error counts as not used up.
    """
    used_up = (used for used in budget.get("methods", {}).values() if used["is_used_up"])
    return max(((used["frees_at"] - now).total_seconds() for used in used_up), default=0.0)


def forecast(waiting: int, measured: Throughput, blocked_s: float = 0.0) -> Forecast:
    """The forecast for this many waiting users.

    `blocked_s`: seconds until calls can continue, such as until the operating budget's reset.
    """
    # Of the three periods (`throughput.PERIODS_MIN`), the middle one has five minutes.
    _, settled, _ = measured.settled
    rates = [rate for rate in measured.settled if rate > 0]
    if not waiting:
        return Forecast("empty", settled, measured.accepted)
    if not rates:
        return Forecast("stalled", settled, measured.accepted)
    outlook: Outlook = "growing" if measured.accepted > settled else "range"
    blocked_s = max(0.0, blocked_s)
    low_s, high_s = waiting / max(rates) * 60, waiting / min(rates) * 60
    return Forecast(outlook, settled, measured.accepted, blocked_s + low_s, blocked_s + high_s)
