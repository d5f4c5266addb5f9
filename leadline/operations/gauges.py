"""Gauges of the whole system, refreshed when Prometheus scrapes outbox-relay.

The state of Postgres, RabbitMQ and Redis belongs to no single process; outbox-relay exports it,
since it has connections to all three. If a server is unreachable, its gauges are omitted.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from leadline.bitrix24 import leads
from leadline.errors import LeadlineError
from leadline.ledger.backlog import backlog
from leadline.mapping.current import defect, field_map
from leadline.messages import topology
from leadline.operations import health
from leadline.process import per_process
from leadline.results import deliveries
from leadline.runtime.postgres import installation
from leadline.runtime.telemetry.metrics import Gauge
from leadline.settings import settings
from leadline.sync.fields import last_check
from leadline.sync.metrics import DUE, PAUSED, UNREACHABLE, set_paused, set_unreachable
from leadline.workqueue import portal_state
from leadline.workqueue.worker_heartbeats import FORGET_AFTER_S

#: Minimum time between refreshes, for any number of scrapes.
MAX_AGE_S = 5.0

REACHABLE = Gauge("leadline_server_reachable", "1 while outbox-relay reaches this server", "server")
USERS = Gauge("leadline_ledger_users", "Users that are not in sync, by status", "sync")
EVENTS = Gauge("leadline_ledger_events", "Unsettled events, by state", "state")
OLDEST = Gauge("leadline_oldest_open_event_age_seconds", "Age of the oldest event without a reply")
OVERDUE = Gauge(
    "leadline_relay_overdue_seconds", "How long the oldest due event has waited for the relay"
)
SWEEP = Gauge(
    "leadline_sweep_ids_left",
    "User ids that the sweep after a fork of Postgres has not reached yet",
)
RESULTS = Gauge(
    "leadline_results",
    "Results for other systems: waiting, or given up within a day",
    "endpoint",
    "state",
)
RESULT_AGE = Gauge("leadline_results_oldest_age_seconds", "Age of the oldest result", "endpoint")
MESSAGES = Gauge("leadline_queue_messages", "Messages in a queue of RabbitMQ", "queue")
CONSUMERS = Gauge("leadline_queue_consumers", "Consumers of a main queue", "queue")
IN_CALL = Gauge("leadline_users_in_call", "Users in flight: leased to a worker")
SILENCE = Gauge(
    "leadline_worker_silence_seconds",
    "Time since the last heartbeat of any worker, an hour at most",
)
TOKENS = Gauge("leadline_bitrix24_tokens", "Requests that can be sent at once: tokens left")
USED = Gauge(
    "leadline_bitrix24_operating_seconds",
    "Execution time that a method has used of its operating budget, within ten minutes",
    "method",
)
LIMIT = Gauge(
    "leadline_bitrix24_operating_limit_seconds",
    "Operating budget: the execution time that a method may use within ten minutes",
)
MISFITS = Gauge("leadline_field_misfits", "Fields of the map that the portal would refuse")
DEFECT = Gauge(
    "leadline_field_map_defect", "1 while the field map's file has a mistake: the last good is used"
)

_FROM_POSTGRES = (USERS, EVENTS, OLDEST, OVERDUE, SWEEP, RESULTS, RESULT_AGE)
_FROM_RABBITMQ = (MESSAGES, CONSUMERS)
_FROM_REDIS = (DUE, IN_CALL, SILENCE, PAUSED, UNREACHABLE, TOKENS, USED, MISFITS)


class _Refresh:
    """When the gauges were last refreshed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at = -MAX_AGE_S  # so that the first refresh is due


@per_process
def _last_refresh() -> _Refresh:
    return _Refresh()


def refresh() -> None:
    """Refresh the gauges, unless they are fresh."""
    last_refresh = _last_refresh()
    with last_refresh.lock:
        if time.monotonic() - last_refresh.at < MAX_AGE_S:
            return
        with ThreadPoolExecutor(2) as pool:
            pool.submit(_refresh_part, "rabbitmq", _rabbitmq, _FROM_RABBITMQ)
            pool.submit(_refresh_part, "redis", _redis, _FROM_REDIS)
            # In this thread: it already has a connection.
            _refresh_part("postgres", _postgres, _FROM_POSTGRES)
        last_refresh.at = time.monotonic()


def _refresh_part(server: str, load: Callable[[], None], gauges: tuple[Gauge, ...]) -> None:
    """Refresh the gauges of one server; if it fails, they are omitted."""
    try:
        load()
    except LeadlineError:
        for gauge in gauges:
            gauge.replace({})
        REACHABLE.set(0, server)
    else:
        REACHABLE.set(1, server)


def _postgres() -> None:
    current = backlog()
    USERS.replace({("waiting",): current.waiting, ("failed",): current.failed})
    EVENTS.replace(
        {
            ("unpublished",): current.unpublished,
            ("published",): current.open_events - current.unpublished,
            ("retrying",): current.retrying,
        }
    )
    OLDEST.set(current.oldest_s or 0.0)
    OVERDUE.set(max(0.0, current.overdue_s or 0.0))
    stored = installation.stored()
    SWEEP.set(max(0, stored.sweep_to - stored.swept_to))
    _results()


def _results() -> None:
    by_endpoint = deliveries.undelivered()
    RESULTS.replace(
        {
            (name, state): endpoint[state]
            for name, endpoint in by_endpoint.items()
            for state in ("waiting", "given_up")
        }
    )
    RESULT_AGE.replace(
        {(name,): endpoint["oldest_s"] or 0.0 for name, endpoint in by_endpoint.items()}
    )


def _rabbitmq() -> None:
    existing = health.queues().existing
    MESSAGES.replace({(name,): depth.messages for name, depth in existing.items()})
    CONSUMERS.replace(
        {
            (name,): existing[name].consumers
            for name in (topology.REQUESTS, topology.REPLIES)
            if name in existing
        }
    )


def _redis() -> None:
    work, portal = health.work(), health.portal()
    DUE.set(work.depth.due)
    IN_CALL.set(work.depth.leased)
    SILENCE.set(FORGET_AFTER_S if work.silence_s is None else work.silence_s)
    set_paused(portal.pause)
    set_unreachable(portal.unreachable)
    TOKENS.set(portal_state.token_bucket().tokens())
    LIMIT.set(settings().operating_limit_s)
    usage = portal_state.operating_budget().usage(leads.METHODS)
    USED.replace({(method,): used.used_s for method, used in usage.items()})
    check = last_check.load() if field_map() is not None else None
    MISFITS.set(len(check.misfits) if check else 0)
    DEFECT.set(int(defect() is not None))
