"""The session that all calls to the portal share: its client, limits and state."""

import contextlib
import time
from collections.abc import Callable, Mapping
from functools import lru_cache

import structlog

from leadline.bitrix24 import crm_mode as modes
from leadline.bitrix24.client import BatchResponse, PortalClient
from leadline.bitrix24.command import Command
from leadline.errors import (
    BadConfiguration,
    BitrixError,
    LeadGone,
    LeaseTooShort,
    OutcomeUnknown,
    PortalDown,
    QueueError,
    Refused,
    Unavailable,
)
from leadline.process import per_process
from leadline.runtime import secrets
from leadline.runtime.redis import client, reachable
from leadline.sync import metrics
from leadline.workqueue.outage import Outage
from leadline.workqueue.portal_state import (
    circuit_breaker,
    crm_mode,
    operating_budget,
    quiet_import,
    reachability,
    token_bucket,
    worker_heartbeats,
)
from leadline.workqueue.queue import work_queue

__all__ = [
    "check_webhook",
    "circuit_breaker",
    "claim_probe",
    "claim_requested_probe",
    "crm_mode",
    "operating_budget",
    "portal_client",
    "probe",
    "probe_if_due",
    "probe_or_raise",
    "quiet_import",
    "reachability",
    "react",
    "request_probe",
    "token_bucket",
    "wait_for_token",
    "worker_heartbeats",
]

log = structlog.get_logger()

#: Bitrix24's code for a method that has used up its operating budget; the others continue.
METHOD_LIMIT = "OPERATION_TIME_LIMIT"
#: How long a request for a probe waits for a job, in ms.
_PROBE_REQUEST_TTL_MS = 60_000
#: The cheapest commands that show whether the portal accepts calls.
_PROBE = {"user": Command("profile", {}), "mode": modes.COMMAND}


class _RecordingClient(PortalClient):
    """Records the portal's reachability with each request."""

    def call(
        self, commands: Mapping[str, Command], *, send_until: float | None = None
    ) -> BatchResponse:
        try:
            batch = super().call(commands, send_until=send_until)
        except LeaseTooShort:
            raise  # nothing was sent, so it says nothing about the portal
        except (Unavailable, OutcomeUnknown) as error:
            _record_failure(error)
            raise
        except BitrixError:
            _record_answer()
            raise
        _record_answer()
        return batch


def portal_client() -> PortalClient:
    """This process's client, with its connections; a new one after the webhook was changed.

    Raises:
        BadConfiguration: the webhook is missing or invalid.
    """
    try:
        return _client_of()(secrets.require("bitrix-webhook-url"))
    except BadConfiguration as error:
        _record_failure(error)
        raise


@per_process
def _client_of() -> Callable[[str], PortalClient]:
    """A function that returns the client of a webhook, and keeps the last one that it made."""
    return lru_cache(maxsize=1)(_RecordingClient)


def _record_answer() -> None:
    """Record an answer if Redis can be reached; if not, the call must still be settled."""
    with contextlib.suppress(QueueError):
        reachability().record_answer()


def _record_failure(error: BitrixError | BadConfiguration) -> None:
    """Record a failure if Redis can be reached."""
    with contextlib.suppress(QueueError):
        reachability().record_failure(error)


def wait_for_token() -> None:
    """Wait until one more request may be sent.

    Raises:
        QueueDown: Redis can't be reached.
    """
    time.sleep(token_bucket().reserve())


def react(error: BitrixError) -> None:
    """Handle what an error means for the whole portal, beyond its user."""
    if isinstance(error, PortalDown):
        circuit_breaker().open(error)
    if isinstance(error, LeadGone) or error.code == modes.SIMPLE_MODE:
        crm_mode().require_check()
    if isinstance(error, Refused) and not isinstance(error, LeaseTooShort):
        log.warning("refused", code=error.code)
        is_rate = error.code.upper() != METHOD_LIMIT
        metrics.REFUSALS.inc("rate" if is_rate else "operating")
        if is_rate:
            token_bucket().drain()


def probe_if_due() -> bool:
    """Send the probe that is due, if any; returns whether calls may be made now.

    Raises:
        QueueDown: Redis can't be reached.
    """
    if not check_webhook():
        return False
    if circuit_breaker().restore_and_read() is not None:
        return circuit_breaker().claim_probe() and probe()
    if crm_mode().needs_check():
        probe()
        return circuit_breaker().restore_and_read() is None
    return True


def claim_probe(outage: Outage | None, *, is_idle: bool) -> bool:
    """Claim the probe that is due in this state of the circuit; True for one worker only.

    `is_idle`: no user is queued whose calls would show whether the portal answers.

    Raises:
        QueueDown: Redis can't be reached.
    """
    if outage is not None:
        return circuit_breaker().claim_probe()
    return (is_idle and reachability().claim_probe()) or crm_mode().claim_check()


@reachable()
def request_probe() -> None:
    """Have the next job send a probe.

    Raises:
        QueueDown: Redis can't be reached.
    """
    client().set(f"{work_queue().prefix}probe_wanted", 1, px=_PROBE_REQUEST_TTL_MS)


@reachable()
def claim_requested_probe() -> bool:
    """Claim the probe that `request_probe` has requested, if any.

    Raises:
        QueueDown: Redis can't be reached.
    """
    return bool(client().delete(f"{work_queue().prefix}probe_wanted"))


def probe() -> bool:
    """Probe the portal; if it accepts the call, closes the circuit and returns True.

    Raises:
        BadConfiguration: the webhook is missing or invalid.
        QueueDown: Redis can't be reached.
    """
    try:
        probe_or_raise()
    except BitrixError as error:
        log.warning("probe failed", error=type(error).__name__, code=error.code)
        return False
    return True


def probe_or_raise() -> None:
    """As `probe`, but raises the error.

    Raises:
        BitrixError: why the portal rejects calls.
        BadConfiguration, QueueDown: as `probe`.
    """
    wait_for_token()
    try:
        results = portal_client().call(_PROBE).results
        if isinstance(results["user"], BitrixError):
            raise results["user"]
        modes.check(results["mode"])
    except BitrixError as error:
        react(error)
        if not isinstance(error, PortalDown):
            crm_mode().postpone_check()
        raise
    crm_mode().record_answer()
    circuit_breaker().close()


def check_webhook() -> bool:
    """Return whether the webhook is valid; records the outage if it isn't."""
    try:
        portal_client()
    except BadConfiguration:
        return False
    return True
