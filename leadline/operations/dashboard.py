"""The console's dashboard: its parts are cached, expensive ones for longer."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from leadline.ledger.backlog import CachedCounts
from leadline.ledger.recent_events import PERIODS, settled_since
from leadline.ledger.throughput import Throughput, throughput
from leadline.operations import status, verdict
from leadline.operations.bulk import jobs
from leadline.operations.forecast import blocked_s, forecast
from leadline.operations.stale_cache import StaleCache
from leadline.operations.verdict import Finding
from leadline.process import per_process
from leadline.users import failures

Part = dict[str, Any]


class Dashboard:
    """All parts of the dashboard, cached for this process."""

    def __init__(self) -> None:
        user_counts = CachedCounts()
        # For how many seconds at least a part stays fresh: more for parts that cost more.
        self._parts = {
            "ledger": _cached(lambda: status.ledger(user_counts.counts), 1),
            "work": _cached(status.work, 1),
            "portal": _cached(status.portal, 1),
            "rate": _cached(status.rate, 1),
            "budget": _cached(status.budget, 1),
            "fields": _cached(status.fields, 3),
            "rabbitmq": _cached(status.rabbitmq, 3),
            "throughput": _cached(_throughput, 3),
            "results": _cached(status.results, 10),
            "jobs": _cached(jobs.advance_and_list, 1),
            "hour": _cached(lambda: settled_since("1h"), 3),
        }
        self._failures = _cached(lambda: {"groups": failures.groups()}, 3)
        #: Longer periods cost more, and are loaded only while an operator looks at them.
        self._periods = {name: _cached(partial(settled_since, name), 30) for name in PERIODS}
        self._periods["1h"] = self._parts["hour"]
        #: When this process first saw each of the current findings, by code.
        self._first_seen: dict[str, datetime] = {}

    def snapshot(self) -> dict[str, Any]:
        """Every part by name, the verdict and the forecast.

        A part whose server fails has only an `error`.
        """
        parts: dict[str, Any] = {name: part.get() for name, part in self._parts.items()}
        parts |= status.rabbitmq_parts(parts.pop("rabbitmq"))
        findings = self._dated(status.findings(parts))
        now = datetime.now(UTC)
        return {
            "now": now,
            "verdict": verdict.as_json(findings),
            "forecast": _forecast(parts, now),
            **parts,
        }

    def settled(self, period: str) -> Part:
        """Settled events of this period (`recent_events.PERIODS`)."""
        return self._periods[period].get()

    def failures(self) -> Part:
        """Failed users, in `groups` by reason."""
        return self._failures.get()

    def invalidate(self) -> None:
        """Drop cached parts after an action, to show its effect; expensive parts stay cached."""
        for name in ("ledger", "work", "portal", "jobs"):
            self._parts[name].invalidate()
        self._failures.invalidate()

    def _dated(self, findings: list[Finding]) -> list[Finding]:
        """The findings; those without a `since` get the time when this process first saw them."""
        now = datetime.now(UTC)
        codes = {finding.code for finding in findings}
        self._first_seen = {code: self._first_seen.get(code, now) for code in codes}
        return [finding.dated(self._first_seen[finding.code]) for finding in findings]


@per_process
def dashboard() -> Dashboard:
    """The dashboard of this process."""
    return Dashboard()


def _throughput() -> Part:
    rates = throughput()
    return {"settled": list(rates.settled), "accepted": rates.accepted}


def _forecast(parts: dict[str, Part], now: datetime) -> Part | None:
    """The forecast; None if Postgres, which has the backlog, can't be reached."""
    measured = parts["throughput"]
    if "error" in parts["ledger"] or "error" in measured:
        return None
    return forecast(
        parts["ledger"]["waiting"] - parts["ledger"].get("held", 0),
        Throughput(tuple(measured["settled"]), measured["accepted"]),
        blocked_s(parts["budget"], now),
    ).as_json()


def _cached(load: Callable[[], Part], min_fresh_s: float) -> StaleCache[Part]:
    """A cache of this part, which has its error instead if its server fails."""
    return StaleCache(lambda: status.or_error(load), min_fresh_s)
