"""One method call: checked, executed in simulated time, billed and counted."""

from dataclasses import dataclass
from typing import Any

from emulator.errors import RestError
from emulator.http.params import Params
from emulator.limits.operating import Meter
from emulator.methods import METHODS, is_allowed
from emulator.methods.call import Call, MethodResult
from emulator.requests.request_context import RequestContext
from emulator.requests.stopwatch import Stopwatch


@dataclass(frozen=True)
class TimedResult:
    """A method's result and its `time` object."""

    result: MethodResult
    time: dict[str, Any]


async def execute(
    context: RequestContext,
    method: str,
    params: Params,
    stopwatch: Stopwatch,
    batch_meter: Meter | None = None,
) -> TimedResult:
    """Run one method; its writes are committed when its simulated time is over.

    `batch_meter` is charged instead of the method's own budget. Raises RestError.
    """
    portal = context.portal
    run = METHODS.get(method)
    if run is None:
        status = portal.settings.unknown_method_status
        raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", status)
    require_scope(context, method)
    meter = batch_meter or meter_within_limit(context, method)
    stopwatch.begin_processing()
    seconds = context.command_duration_s()
    await context.work(seconds)
    try:
        result = run(Call(portal, params, context.webhook))
    finally:
        bill(context, meter, seconds)
        portal.counts.count_command(method, portal.clock.wall())
    if portal.late_rows:
        await _show_late_rows(context)
    return TimedResult(result, stopwatch.read(meter))


async def _show_late_rows(context: RequestContext) -> None:
    """Show the phones of new objects `phones_after_ms` later, and answer only then."""
    portal = context.portal
    added, portal.late_rows = portal.late_rows, []
    await context.work(portal.settings.phones_after_ms / 1000)
    for type_id, item_id in added:
        portal.store.show_rows(type_id, item_id)


def meter_within_limit(context: RequestContext, method: str) -> Meter:
    """The method's meter; raises RestError if its `operating` budget is used up."""
    meter = context.portal.meters.meter(context.budget_owner, method, context.portal.clock.now())
    limit = context.portal.settings.operating_limit_s
    if limit and meter.operating > limit:
        raise RestError(
            "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", 429
        )
    return meter


def bill(context: RequestContext, meter: Meter, seconds: float) -> None:
    """Charge a call's time; calls below the floor are free."""
    meter.advance(context.portal.clock.now())
    if seconds >= context.portal.settings.operating_floor_s:
        meter.bill(seconds)


def require_scope(context: RequestContext, method: str) -> None:
    """Raise RestError if the webhook lacks the scope that a method needs."""
    if not is_allowed(method, context.portal.settings.scope):
        description = "The request requires higher privileges than provided by the access token"
        raise RestError("insufficient_scope", description, 403)
