"""The request limit: a leaky bucket per source address and portal, checked before execution."""

from dataclasses import dataclass

from emulator.settings import Settings


@dataclass(frozen=True)
class Rate:
    """How many requests drain per second, and how many fit; without `per_s` (None, 0) no limit."""

    per_s: float | None
    burst: float


@dataclass
class Bucket:
    """How full one address's bucket is."""

    drained_at: float
    level: float = 0.0

    def drain(self, now: float, rate: Rate, *, stepped: bool) -> None:
        """Lower the level by what has leaked until `now`; if `stepped`, in whole seconds only."""
        elapsed = max(0.0, now - self.drained_at)
        if stepped:
            elapsed = float(int(elapsed))
        self.level = max(0.0, self.level - elapsed * (rate.per_s or 0))
        self.drained_at += elapsed


class Buckets:
    """All buckets by (source address, portal)."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], Bucket] = {}

    def admit(self, key: tuple[str, str], rate: Rate, now: float, settings: Settings) -> bool:
        """Admit a request if it fits, and raise the level; returns whether it was admitted.

        With the setting `refused_counts`, a refused request raises the level, too.
        """
        if not rate.per_s:
            return True
        bucket = self._buckets.setdefault(key, Bucket(now))
        bucket.drain(now, rate, stepped=settings.drain == "stepped")
        fits = bucket.level + 1 <= rate.burst
        if fits or settings.refused_counts:
            bucket.level += 1
        return fits

    def levels(self, now: float, rates: dict[str, Rate], settings: Settings) -> dict[str, float]:
        """How full each bucket is now, by `address portal`."""
        stepped = settings.drain == "stepped"
        for (_, portal), bucket in self._buckets.items():
            bucket.drain(now, rates[portal], stepped=stepped)
        return {" ".join(key): round(bucket.level, 3) for key, bucket in self._buckets.items()}
