"""The batch method: up to 50 commands in one request, in sequence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emulator.entities.query import argument
from emulator.errors import RestError
from emulator.faults import Rule
from emulator.http.params import Params, from_query
from emulator.limits.operating import Meter
from emulator.requests.batch_references import substitute
from emulator.requests.method_call import TimedResult, execute, meter_within_limit
from emulator.requests.request_context import RequestContext
from emulator.requests.stopwatch import Stopwatch

COMMANDS_MAX = 50


@dataclass(frozen=True)
class Command:
    """One entry of `cmd`."""

    key: str
    method: str
    params: Params


@dataclass
class BatchResult:
    """The five maps of a batch's result; an empty one, or one keyed 0…n-1, is a list."""

    result: dict[str, Any] = field(default_factory=dict)
    result_error: dict[str, Any] = field(default_factory=dict)
    result_total: dict[str, Any] = field(default_factory=dict)
    result_next: dict[str, Any] = field(default_factory=dict)
    result_time: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The maps as PHP serializes its arrays."""
        return {name: _php_array(values) for name, values in vars(self).items()}


def parse_commands(params: Params) -> list[Command]:
    """The entries of `cmd`, a map or a list of `method?query` texts; anything else has none."""
    sent = argument(params, "cmd")
    if isinstance(sent, list):
        sent = {str(index): command for index, command in enumerate(sent)}
    if not isinstance(sent, dict):
        return []
    return [_command(key, command) for key, command in sent.items()]


async def run(
    context: RequestContext,
    params: Params,
    entries: Sequence[Command],
    faults: Mapping[int, Rule],
    stop_after: int | None = None,
) -> dict[str, Any]:
    """Run a batch and return its body: of all commands, or only of the first `stop_after`."""
    portal = context.portal
    _require_length(context, entries)
    stopwatch = Stopwatch(portal)
    is_batch_billed = portal.settings.batch_billing == "batch"
    meter = meter_within_limit(context, "batch")
    portal.counts.count_batch()
    stopwatch.begin_processing()
    collected = BatchResult()
    halt = argument(params, "halt") not in (None, "", 0, "0")
    for index, entry in enumerate(entries[:stop_after]):
        try:
            require_allowed(index, entry, faults)
            timed = await _run_one(context, entry, collected, meter if is_batch_billed else None)
            context.note("ran", key=entry.key, lead=timed.result.lead)
        except RestError as error:
            context.note("ran", key=entry.key, error=error.code)
            collected.result_error[entry.key] = error.body()
            if halt:
                break
    return {"result": collected.as_json(), "time": stopwatch.read(meter)}


def require_allowed(index: int, entry: Command, faults: Mapping[int, Rule]) -> None:
    """Raise RestError for a command beyond the 50th, a nested batch, or one with a fault."""
    if index >= COMMANDS_MAX:
        raise _too_long()
    if entry.method == "batch":
        raise RestError("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")
    if index in faults:
        raise RestError(faults[index].code, faults[index].error_description)


async def _run_one(
    context: RequestContext, entry: Command, into: BatchResult, meter: Meter | None
) -> TimedResult:
    """Run a command and enter its result in the maps; raises RestError."""
    params = substitute(entry.params, into.result)
    timed = await execute(context, entry.method, params, Stopwatch(context.portal), meter)
    into.result[entry.key] = timed.result.result
    into.result_time[entry.key] = timed.time
    if timed.result.total is not None:
        into.result_total[entry.key] = timed.result.total
    if timed.result.next is not None:
        into.result_next[entry.key] = timed.result.next
    return timed


def _require_length(context: RequestContext, entries: Sequence[Command]) -> None:
    if len(entries) > COMMANDS_MAX and context.portal.settings.batch_overflow == "request":
        raise _too_long()


def _too_long() -> RestError:
    return RestError("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")


def _command(key: str, sent: object) -> Command:
    method, _, query = (sent if isinstance(sent, str) else "").partition("?")
    method = method.strip().strip("/").lower().removesuffix(".json")
    return Command(key, method, from_query(query))


def _php_array(values: dict[str, Any]) -> Any:
    """A list if the keys are 0…n-1 or there are none, else the map."""
    if list(values) == [str(index) for index in range(len(values))]:
        return list(values.values())
    return values
