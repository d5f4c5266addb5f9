"""One method call: checked, paid for in simulated time, run, billed, counted."""

from dataclasses import dataclass
from typing import Any

from emulator.errors import RestError
from emulator.http.params import Params
from emulator.limits.operating import Meter
from emulator.methods import METHODS
from emulator.methods.result import Answer
from emulator.requests.request_context import Visit
from emulator.requests.stopwatch import Stopwatch


@dataclass(frozen=True)
class Done:
    """A method's answer and its `time` object."""

    answer: Answer
    time: dict[str, Any]


async def execute(
    visit: Visit,
    method: str,
    params: Params,
    stopwatch: Stopwatch,
    batch_meter: Meter | None = None,
) -> Done:
    """Run one method; what it writes is committed when its simulated time is over.

    `batch_meter` pays in place of the method's own budget. Raises RestError.
    """
    portal = visit.portal
    run = METHODS.get(method)
    if run is None:
        status = portal.settings.unknown_method_status
        raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", status)
    demand_scope(visit, method)
    meter = batch_meter or affordable(visit, method)
    stopwatch.processing()
    seconds = visit.latency_s()
    await visit.work(seconds)
    try:
        answer = run(portal, params)
    finally:
        bill(visit, meter, seconds)
        portal.calls.command(method, portal.clock.wall())
    return Done(answer, stopwatch.read(meter))


def affordable(visit: Visit, method: str) -> Meter:
    """The method's meter, if its `operating` budget allows one more call; else RestError."""
    meter = visit.portal.meters.open(visit.payer, method, visit.portal.clock.now())
    limit = visit.portal.settings.operating_limit_s
    if limit and meter.operating >= limit:
        raise RestError(
            "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", 429
        )
    return meter


def bill(visit: Visit, meter: Meter, seconds: float) -> None:
    """Charge a call's time; calls below the floor are free."""
    meter.open(visit.portal.clock.now())
    if seconds >= visit.portal.settings.operating_floor_s:
        meter.bill(seconds)


def demand_scope(visit: Visit, method: str) -> None:
    """Raise RestError when the webhook lacks the right that a method needs."""
    needed = "crm" if method.startswith("crm.") else None
    if needed and needed not in visit.portal.settings.scope:
        description = "The request requires higher privileges than provided by the access token"
        raise RestError("insufficient_scope", description, 403)
