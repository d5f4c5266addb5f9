"""What all calls to this portal share: its connection, limits and state."""

import contextlib
import time
from collections.abc import Mapping
from functools import cache, lru_cache

import redis
import structlog

from leadline.bitrix24 import crm_mode as modes
from leadline.bitrix24.client import BatchResponse, PortalClient
from leadline.bitrix24.command import Command
from leadline.bitrix24.operating_budget import OperatingBudget
from leadline.errors import (
    BadConfiguration,
    BitrixError,
    LeadGone,
    LeaseTooShort,
    OutcomeUnknown,
    PortalDown,
    Refused,
    Unavailable,
)
from leadline.runtime import secrets
from leadline.runtime.redis import client
from leadline.settings import settings
from leadline.sync import metrics
from leadline.workqueue.outage import Outage
from leadline.workqueue.portal_state import (
    circuit_breaker,
    crm_mode,
    reachability,
    token_bucket,
    worker_heartbeats,
)
from leadline.workqueue.queue import work_queue

__all__ = [
    "check_webhook",
    "circuit_breaker",
    "claim_probe",
    "crm_mode",
    "operating_budget",
    "portal_client",
    "probe",
    "probe_if_due",
    "reachability",
    "react",
    "token_bucket",
    "wait_for_token",
    "worker_heartbeats",
]

log = structlog.get_logger()

#: One method has used up its execution time; the others go on.
METHOD_LIMIT = "OPERATION_TIME_LIMIT"
#: Next to nothing, to see whether the portal serves us.
_PROBE = {"user": Command("profile", {}), "mode": modes.COMMAND}


class _RecordingClient(PortalClient):
    """Records with each request whether the portal can be reached."""

    def call(
        self, commands: Mapping[str, Command], *, send_until: float | None = None
    ) -> BatchResponse:
        try:
            batch = super().call(commands, send_until=send_until)
        except LeaseTooShort:
            raise  # nothing was sent: it says nothing of the portal
        except (Unavailable, OutcomeUnknown) as error:
            _record(error)
            raise
        except BitrixError:
            _record(None)
            raise
        _record(None)
        return batch


def portal_client() -> PortalClient:
    """This process's portal, with its kept connection; a new one when the webhook was changed.

    Raises:
        BadConfiguration: there is no webhook, or it is none.
    """
    try:
        return _session(secrets.require("bitrix-webhook-url"))
    except BadConfiguration as error:
        _record(error)
        raise


@lru_cache(maxsize=1)
def _session(webhook_url: str) -> PortalClient:
    return _RecordingClient(webhook_url)


def _record(trouble: BitrixError | BadConfiguration | None) -> None:
    # A call that was made must be settled, also where Redis can't record this.
    with contextlib.suppress(redis.RedisError):
        if trouble is None:
            reachability().record_answer()
        else:
            reachability().record_failure(trouble)


@cache
def operating_budget() -> OperatingBudget:
    """The portal's execution time."""
    return OperatingBudget(
        client(),
        work_queue().prefix,
        limit_s=settings().operating_limit_s,
        request_limit_s=settings().request_limit_s,
    )


def wait_for_token() -> None:
    """Wait until one more request may be sent.

    Raises:
        redis.RedisError: Redis can't be reached.
    """
    time.sleep(token_bucket().reserve())


def react(error: BitrixError) -> None:
    """Do what an error means for everybody, not only for its user."""
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
    """Whether calls may be made now; makes the probe that is due.

    Raises:
        redis.RedisError: Redis can't be reached.
    """
    if not check_webhook():
        return False
    if circuit_breaker().state() is not None:
        return circuit_breaker().claim_probe() and probe()
    if crm_mode().needs_check():
        probe()
        return circuit_breaker().state() is None
    return True


def claim_probe(pause: Outage | None, *, is_idle: bool) -> bool:
    """True for the one worker that shall probe the portal now, while this pause lasts or none.

    `is_idle`: no user waits, whose own calls would show whether the portal answers.

    Raises:
        redis.RedisError: Redis can't be reached.
    """
    if pause is not None:
        return circuit_breaker().claim_probe()
    return (is_idle and reachability().claim_probe()) or crm_mode().claim_check()


def request_probe() -> None:
    """Have the next job make a probe.

    Raises:
        redis.RedisError: Redis can't be reached.
    """
    client().set(f"{work_queue().prefix}probe_wanted", 1, px=60_000)


def claim_requested_probe() -> bool:
    """Whether this job shall make a probe.

    Raises:
        redis.RedisError: Redis can't be reached.
    """
    return bool(client().delete(f"{work_queue().prefix}probe_wanted"))


def probe() -> bool:
    """Whether the portal serves us, for which it is asked for next to nothing; ends a pause if so.

    Raises:
        BadConfiguration: there is no webhook, or it is none.
        redis.RedisError: Redis can't be reached.
    """
    try:
        check_service()
    except BitrixError as error:
        log.warning("probe failed", error=type(error).__name__, code=error.code)
        return False
    return True


def check_service() -> None:
    """As `probe`.

    Raises:
        BitrixError: why it does not serve us.
        BadConfiguration, redis.RedisError: as `probe`.
    """
    wait_for_token()
    try:
        answers = portal_client().call(_PROBE).results
        if isinstance(answers["user"], BitrixError):
            raise answers["user"]
        modes.check(answers["mode"])
    except BitrixError as error:
        react(error)
        if not isinstance(error, PortalDown):
            crm_mode().postpone_check()
        raise
    crm_mode().record_answer()
    circuit_breaker().close()


def check_webhook() -> bool:
    """Whether there is a webhook that looks like one; where not, that is recorded."""
    try:
        portal_client()
    except BadConfiguration:
        return False
    return True
