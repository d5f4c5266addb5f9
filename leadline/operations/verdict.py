"""The verdict: whether the sync is healthy, slowed or stopped, why, since when, and what is next.

A pure function of the parts of the status (`leadline.operations.status`), so that the console and
`leadline status` say the same.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from leadline.bitrix24.crm_mode import SIMPLE_MODE
from leadline.messages import topology
from leadline.operations.health import is_relay_late
from leadline.operations.verdict_reasons import REASONS, State
from leadline.workqueue.worker_heartbeats import SILENT_S

Part = Mapping[str, Any]
#: Text, number, seconds (only as `ago`), or time (only as `at`).
Value = str | int | float | datetime

#: If the oldest write has waited longer than this, the system is slowed, for any cause.
SLOW_S = 120.0
#: While the token bucket is less full than this part, users wait for the request limit.
LOW_TOKENS = 0.05


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason that applies now."""

    code: str
    values: dict[str, Value] = field(default_factory=dict)
    since: datetime | None = None

    @property
    def state(self) -> State:
        """The state that this reason alone leads to."""
        return REASONS[self.code].state

    @property
    def sentence(self) -> str:
        """The reason in English."""
        return REASONS[self.code].sentence.format_map(_as_texts(self.values))

    @property
    def next(self) -> str:
        """What happens next, in English."""
        return REASONS[self.code].next.format_map(_as_texts(self.values))

    def dated(self, seen_at: datetime) -> "Finding":
        """The finding, with `seen_at` as its `since` if it has none; healthy ones need none."""
        is_dated = self.since is not None or self.state == "healthy"
        return self if is_dated else replace(self, since=seen_at)

    def as_json(self) -> dict[str, Any]:
        """The finding with its sentences, and its values for other languages."""
        return {
            "state": self.state,
            "reason": self.code,
            "sentence": self.sentence,
            "next": self.next,
            "since": self.since,
            "values": self.values,
        }


def judge(parts: Mapping[str, Part], now: datetime) -> list[Finding]:
    """The findings that apply, the most important first; the first one is the verdict.

    `parts`: `ledger`, `work`, `portal`, `queues`, `consumers`, `rate`, `budget`, `fields` and
    `results` of the status.
    """
    findings = [finding for check in _CHECKS for finding in check(parts, now)]
    findings.sort(key=lambda finding: _RANK[finding.code])
    return findings or [*_unexplained(parts, now)] or [_healthy(parts)]


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """The verdict, and the other findings in `also`."""
    verdict, *other_findings = findings
    return {**verdict.as_json(), "also": [finding.as_json() for finding in other_findings]}


def as_text(verdict: Finding) -> str:
    """The verdict in one line of text."""
    since = f" Since {_time(verdict.since)}." if verdict.since else ""
    return f"{verdict.state}: {verdict.sentence}{since} {verdict.next}"


def _servers(parts: Mapping[str, Part], _now: datetime) -> Iterator[Finding]:
    for part, code in (
        ("ledger", "postgres_down"),
        ("work", "redis_down"),
        ("queues", "rabbitmq_down"),
    ):
        if parts[part].get("is_slow"):
            yield Finding("postgres_slow")
        # A server that is not set may belong to another installation: that is no failure.
        elif "error" in parts[part] and parts[part].get("is_set", True):
            yield Finding(code)


def _portal(parts: Mapping[str, Part], _now: datetime) -> Iterator[Finding]:
    portal = parts["portal"]
    if "error" in portal:
        return
    if portal["paused"] and portal["by_operator"]:
        values = {"who": portal.get("by") or "", "why": portal["reason"]}
        yield Finding("manual_hold", values, portal["since"])
    elif portal["paused"]:
        code = "simple_crm_mode" if portal["code"] == SIMPLE_MODE else "circuit_open"
        values = {"why": portal["reason"], "code": portal["code"], "at": portal["next_probe"]}
        yield Finding(code, values, portal["since"])
    if not portal["reachable"]:
        values = {"kind": portal["unreachable_kind"], "why": portal["unreachable_reason"]}
        yield Finding("portal_unreachable", values, portal["unreachable_since"])


def _processes(parts: Mapping[str, Part], now: datetime) -> Iterator[Finding]:
    if "error" not in parts["work"]:
        silence_s = parts["work"]["worker_seen_s_ago"]
        if silence_s is None:
            yield Finding("no_worker_ever")
        elif silence_s > SILENT_S:
            yield Finding("no_worker", {"ago": silence_s}, now - timedelta(seconds=silence_s))
    if "error" not in parts["consumers"]:
        for queue in (topology.REQUESTS, topology.REPLIES):
            if not parts["consumers"].get(queue):
                yield Finding("no_connector", {"queue": queue})
                break
    overdue_s = parts["ledger"].get("overdue_s") or 0.0
    if is_relay_late(overdue_s):
        yield Finding("no_relay", {"ago": overdue_s}, now - timedelta(seconds=overdue_s))


def _limits(parts: Mapping[str, Part], _now: datetime) -> Iterator[Finding]:
    budget, portal, rate = parts["budget"], parts["portal"], parts["rate"]
    for method, used in budget.get("methods", {}).items():
        if used["is_used_up"]:
            values = {
                "method": method,
                "used": round(used["used_s"]),
                "limit": round(budget["limit_s"]),
                "at": used["frees_at"],
            }
            yield Finding("operating_budget", values)
            break
    ready = parts["work"].get("users_due", 0)
    is_at_limit = rate.get("limit_per_s") and portal.get("requests_left", 1) < LOW_TOKENS
    if ready and is_at_limit and _oldest_s(parts) > SLOW_S:
        yield Finding("request_limit", {"n": ready, "limit": rate["limit_per_s"]})


def _fields(parts: Mapping[str, Part], _now: datetime) -> Iterator[Finding]:
    field_status = parts.get("fields", {})
    if field_status.get("defect"):
        yield Finding("field_map_defect", {"why": field_status["defect"]})
    for misfit in field_status.get("misfits", ()):
        values = {
            "field": misfit["field"] or misfit["lead"],
            "lead": misfit["lead"],
            "why": misfit["problem"],
        }
        yield Finding("field_misfit", values)


def _results(parts: Mapping[str, Part], now: datetime) -> Iterator[Finding]:
    for endpoint in parts["results"].get("refusing", ()):
        values = {
            "endpoint": endpoint["endpoint"],
            "why": endpoint["problem"],
            "n": endpoint["waiting"],
        }
        since = now - timedelta(seconds=endpoint["oldest_s"])
        yield Finding("results_refused", values, since)


def _unexplained(parts: Mapping[str, Part], now: datetime) -> Iterator[Finding]:
    oldest_s = _oldest_s(parts)
    if oldest_s > SLOW_S:
        yield Finding("slow", {"ago": oldest_s}, now - timedelta(seconds=oldest_s))


def _healthy(parts: Mapping[str, Part]) -> Finding:
    if "error" in parts["ledger"]:
        return Finding("unknown_backlog")
    waiting = parts["ledger"]["waiting"] - parts["ledger"].get("held", 0)
    # The others are retried automatically.
    failed = parts["ledger"]["failed"] - parts["ledger"]["retrying"]
    dead = map(topology.dead_letter_name, (topology.REQUESTS, topology.REPLIES))
    letters = sum(parts["queues"].get(name) or 0 for name in dead)
    given_up = parts["results"].get("given_up", 0)
    if failed > 0 or letters or given_up:
        values: dict[str, Value] = {"letters": letters, "results": given_up}
        return Finding("operator_needed", {"n": max(0, failed)} | values)
    return Finding("running", {"n": waiting}) if waiting else Finding("in_sync")


def _oldest_s(parts: Mapping[str, Part]) -> float:
    return parts["ledger"].get("oldest_s") or 0.0


def _held_users(parts: Mapping[str, Part], _now: datetime) -> Iterator[Finding]:
    if users := parts["ledger"].get("held"):
        yield Finding("users_held", {"n": users})


_CHECKS: tuple[Callable[[Mapping[str, Part], datetime], Iterator[Finding]], ...] = (
    _servers,
    _portal,
    _processes,
    _limits,
    _fields,
    _results,
    _held_users,
)
#: Texts in place of an empty value.
_UNKNOWN = {"who": "an operator", "why": "none given"}
_RANK = {code: rank for rank, code in enumerate(REASONS)}


def _as_texts(values: Mapping[str, Value]) -> dict[str, str]:
    return {name: _text(name, value) for name, value in values.items()}


def _text(name: str, value: Value) -> str:
    if value == "":
        return _UNKNOWN.get(name, "unknown")
    if isinstance(value, datetime):
        return _time(value)
    if name == "ago" and isinstance(value, int | float):
        return span(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _time(moment: datetime) -> str:
    local = moment.astimezone()
    is_today = local.date() == datetime.now(UTC).astimezone().date()
    return local.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S")


def span(seconds: float) -> str:
    """A time span in the unit that reads best, as the console shows it."""
    for limit, size, unit in ((100, 1, "s"), (6000, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
