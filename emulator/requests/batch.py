"""The batch method: up to 50 commands in one request, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emulator.errors import RestError
from emulator.faults import Rule
from emulator.http.params import Params, from_query
from emulator.leads.query import argument
from emulator.limits.operating import Meter
from emulator.requests.batch_references import substitute
from emulator.requests.method_call import Done, affordable, execute
from emulator.requests.request_context import Visit
from emulator.requests.stopwatch import Stopwatch

MOST_COMMANDS = 50


@dataclass(frozen=True)
class Command:
    """One entry of `cmd`."""

    key: str
    method: str
    params: Params


@dataclass
class Collected:
    """The five maps of a batch's result; an empty one, or one keyed 0…n-1, is a list."""

    result: dict[str, Any] = field(default_factory=dict)
    result_error: dict[str, Any] = field(default_factory=dict)
    result_total: dict[str, Any] = field(default_factory=dict)
    result_next: dict[str, Any] = field(default_factory=dict)
    result_time: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The maps as PHP writes its arrays."""
        return {name: _php_array(each) for name, each in vars(self).items()}


def commands(params: Params) -> list[Command]:
    """The entries of `cmd`, a map or a list of `method?query` texts."""
    sent = argument(params, "cmd")
    if isinstance(sent, list):
        sent = {str(index): each for index, each in enumerate(sent)}
    return [_command(key, each) for key, each in sent.items()] if isinstance(sent, dict) else []


async def run(
    visit: Visit,
    params: Params,
    entries: Sequence[Command],
    faults: Mapping[int, Rule],
    stop_after: int | None = None,
) -> dict[str, Any]:
    """The whole answer of a batch; `stop_after` runs only so many commands."""
    portal = visit.portal
    _demand_length(visit, entries)
    stopwatch = Stopwatch(portal)
    pays_itself = portal.settings.batch_billing == "batch"
    meter = affordable(visit, "batch")
    portal.calls.batch()
    stopwatch.processing()
    collected = Collected()
    halt = argument(params, "halt") not in (None, "", 0, "0")
    for index, entry in enumerate(entries[:stop_after]):
        try:
            demand_allowed(index, entry, faults)
            done = await _run_one(visit, entry, collected, meter if pays_itself else None)
            visit.note("ran", key=entry.key, lead=done.answer.lead)
        except RestError as error:
            visit.note("ran", key=entry.key, error=error.code)
            collected.result_error[entry.key] = error.body()
            if halt:
                break
    return {"result": collected.as_json(), "time": stopwatch.read(meter)}


def demand_allowed(index: int, entry: Command, faults: Mapping[int, Rule]) -> None:
    """Raise RestError for a command that is one too many, a batch itself, or hit by a fault."""
    if index >= MOST_COMMANDS:
        raise _too_long()
    if entry.method == "batch":
        raise RestError("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")
    if index in faults:
        raise RestError(faults[index].code, faults[index].error_description)


async def _run_one(visit: Visit, entry: Command, into: Collected, meter: Meter | None) -> Done:
    params = substitute(entry.params, into.result)
    done = await execute(visit, entry.method, params, Stopwatch(visit.portal), meter)
    into.result[entry.key] = done.answer.result
    into.result_time[entry.key] = done.time
    if done.answer.total is not None:
        into.result_total[entry.key] = done.answer.total
    if done.answer.next is not None:
        into.result_next[entry.key] = done.answer.next
    return done


def _demand_length(visit: Visit, entries: Sequence[Command]) -> None:
    if len(entries) > MOST_COMMANDS and visit.portal.settings.batch_overflow == "request":
        raise _too_long()


def _too_long() -> RestError:
    return RestError("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")


def _command(key: str, sent: object) -> Command:
    method, _, query = (sent if isinstance(sent, str) else "").partition("?")
    method = method.strip().strip("/").lower().removesuffix(".json")
    return Command(key, method, from_query(query))


def _php_array(values: dict[str, Any]) -> Any:
    if list(values) == [str(index) for index in range(len(values))]:
        return list(values.values())
    return values
