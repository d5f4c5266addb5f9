"""Metrics of calls to Bitrix24; a worker's other metrics are defined where they are counted."""

from leadline.runtime.telemetry.metrics import Counter, Gauge, Histogram
from leadline.workqueue.outage import Outage
from leadline.workqueue.reachability import KINDS

EVENTS = Counter(
    "leadline_events_total",
    "Events of a call by outcome",
    "outcome",
    label_values=("completed", "superseded", "failed", "held", "retried"),
)
ATTEMPTS = Counter(
    "leadline_attempts_total",
    "Events in a call by attempt",
    "attempt",
    label_values=("1", "2", "3"),
)
REQUESTS = Counter(
    "leadline_bitrix24_requests_total", "Requests to Bitrix24 by answer", "answer"
)  # ok, or the class of the error
DURATION = Histogram(
    "leadline_bitrix24_request_duration_seconds",
    "Duration of a request to Bitrix24",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 65),
)
REFUSALS = Counter(
    "leadline_bitrix24_refusals_total",
    "Requests and commands refused for a limit of Bitrix24",
    "limit",
    label_values=("rate", "operating"),
)
BATCH = Histogram(
    "leadline_bitrix24_batch_commands",
    "Commands in a request",
    buckets=(1, 2, 5, 10, 20, 30, 40, 50),
)
LEASES_EXPIRED = Counter(
    "leadline_leases_expired_total", "Leases that expired: their workers were lost"
)
DOUBLED = Counter("leadline_leads_doubled_total", "Users found with duplicate leads")
TOKEN_WAIT = Counter(
    "leadline_token_wait_seconds_total", "Seconds waited for tokens of the portal's request rate"
)
PAUSED = Gauge(
    "leadline_portal_paused",
    "1 while no calls are made: Bitrix24 rejects all, or an operator holds them",
    "by",
)  # portal, operator
UNREACHABLE = Gauge(
    "leadline_portal_unreachable",
    "1 while no request to Bitrix24 gets an answer, by kind",
    "why",
)
DUE = Gauge("leadline_users_due", "Users that are ready for a call")


def set_paused(outage: Outage | None) -> None:
    """Set `PAUSED` by the circuit breaker's state."""
    PAUSED.set(outage is not None and not outage.is_manual_hold, "portal")
    PAUSED.set(outage is not None and outage.is_manual_hold, "operator")


def set_unreachable(unreachable: Outage | None) -> None:
    """Set `UNREACHABLE` by the portal's reachability."""
    code = unreachable and unreachable.code
    UNREACHABLE.replace({(kind,): float(kind == code) for kind in KINDS})
