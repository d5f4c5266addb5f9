"""What a worker counts."""

from leadline.runtime.telemetry.metrics import Counter, Gauge, Histogram
from leadline.workqueue.outage import Outage
from leadline.workqueue.reachability import KINDS

EVENTS = Counter(
    "leadline_events_total",
    "Events of users by what became of them",
    "outcome",
    known=("completed", "superseded", "failed", "retried"),
)
ATTEMPTS = Counter(
    "leadline_attempts_total",
    "Events taken into a call, by which attempt it was",
    "attempt",
    known=("1", "2", "3"),
)
REQUESTS = Counter(
    "leadline_bitrix24_requests_total", "Requests to Bitrix24 by what came back", "answer"
)  # ok, or the class of the error
DURATION = Histogram(
    "leadline_bitrix24_request_duration_seconds",
    "Time of a request to Bitrix24",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 65),
)
REFUSALS = Counter(
    "leadline_bitrix24_refusals_total",
    "Requests and commands refused for one of Bitrix24's limits",
    "limit",
    known=("rate", "operating"),
)
BATCH = Histogram(
    "leadline_bitrix24_batch_commands",
    "Commands in a request",
    buckets=(1, 2, 5, 10, 20, 30, 40, 50),
)
STALLED = Counter(
    "leadline_leases_expired_total", "Users taken up again after their worker was lost"
)
DOUBLED = Counter("leadline_leads_doubled_total", "Users found with more than one lead of ours")
TOKEN_WAIT = Counter(
    "leadline_token_wait_seconds_total", "Seconds waited for the portal's request rate"
)
PAUSED = Gauge(
    "leadline_portal_paused",
    "1 while no calls are made: Bitrix24 serves nobody, or an operator said so",
    "by",
)  # portal, operator
UNREACHABLE = Gauge(
    "leadline_portal_unreachable",
    "1 while no request to Bitrix24 gets an answer, by the kind of trouble",
    "why",
)
DUE = Gauge("leadline_users_due", "Users that wait for a call")


def set_paused(pause: Outage | None) -> None:
    """Say whether calls are made, and who wants it so."""
    PAUSED.set(pause is not None and not pause.is_held, "portal")
    PAUSED.set(pause is not None and pause.is_held, "operator")


def set_unreachable(unreachable: Outage | None) -> None:
    """Say whether the portal can be reached, and if not why."""
    code = unreachable and unreachable.code
    UNREACHABLE.replace({(kind,): float(kind == code) for kind in KINDS})
