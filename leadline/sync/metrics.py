"""What a worker counts, for Prometheus at `/metrics` of its `PORT`."""

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter(
    "leadline_events", "Events of users by what became of them", ["outcome"]
)  # completed, superseded, failed, retried
REQUESTS = Counter(
    "leadline_bitrix24_requests", "Requests to Bitrix24 by what came back", ["answer"]
)  # ok, or the class of the error
BATCH = Histogram(
    "leadline_bitrix24_batch_commands",
    "Commands in a request",
    buckets=(1, 2, 5, 10, 20, 30, 40, 50),
)
STALLED = Counter("leadline_leases_expired", "Users taken up again after their worker was lost")
TOKEN_WAIT = Counter("leadline_token_wait_seconds", "Seconds waited for the portal's request rate")
PAUSED = Gauge("leadline_portal_paused", "1 while Bitrix24 serves nobody and calls are held")
DUE = Gauge("leadline_users_due", "Users that wait for a call")
