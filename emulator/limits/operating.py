"""The `operating` budget: execution time per method in ten one-minute baskets."""

from collections import deque
from dataclasses import dataclass

_BASKET_S = 60.0
_WINDOW_S = 600.0


@dataclass
class Basket:
    """A minute of a method's execution time; it expires ten minutes after its first call."""

    started_at: float
    seconds: float = 0.0


class Meter:
    """One method's baskets."""

    def __init__(self) -> None:
        self._baskets: deque[Basket] = deque()

    def advance(self, now: float) -> None:
        """Drop expired baskets, and start one if this minute has none."""
        while self._baskets and now >= self._baskets[0].started_at + _WINDOW_S:
            self._baskets.popleft()
        if not self._baskets or now >= self._baskets[-1].started_at + _BASKET_S:
            self._baskets.append(Basket(now))

    def bill(self, seconds: float) -> None:
        """Add a call's time to the current basket."""
        self._baskets[-1].seconds += seconds

    @property
    def operating(self) -> float:
        """The seconds of execution time in all baskets."""
        return sum(basket.seconds for basket in self._baskets)

    @property
    def reset_at(self) -> float:
        """Emulated time at which the oldest basket expires."""
        return self._baskets[0].started_at + _WINDOW_S


class Meters:
    """The meters of all methods by (owner, method); the owner is a webhook or a portal."""

    def __init__(self) -> None:
        self._meters: dict[tuple[str, str], Meter] = {}

    def meter(self, owner: str, method: str, now: float) -> Meter:
        """The method's meter, advanced to `now`."""
        meter = self._meters.setdefault((owner, method), Meter())
        meter.advance(now)
        return meter

    def totals(self) -> dict[str, float]:
        """The seconds of execution time in the current baskets, by `owner method`."""
        return {" ".join(key): round(meter.operating, 3) for key, meter in self._meters.items()}
