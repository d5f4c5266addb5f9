"""A history as text: its plan, the time, process and action of each step, the broken rules."""

from typing import Any

from tests.simulation.plan import NAMES, PHONES, STAGES, Fault, Plan, Write
from tests.simulation.play import Result
from tests.simulation.world import EPOCH

#: Beginnings of the log lines that a transcript leaves out.
_QUIET = ("calling Bitrix24", "event received", "write accepted", "reply received", "stages read")
#: The facts of the other lines that it shows.
_SHOWN = (
    "user_id",
    "version",
    "outcome",
    "status",
    "state",
    "attempts",
    "step",
    "reason",
    "code",
    "error",
    "stalled",
    "users",
    "exception",
    "retry_in_s",
)


def render(result: Result) -> str:
    """The whole transcript."""
    system = result.system
    lines = [(line.at, line.who, line.what, dict(line.facts)) for line in system.world.transcript]
    lines += [
        (at, who, f"logs: {text}", {key: facts[key] for key in _SHOWN if key in facts})
        for at, who, _, text, _, facts in system.logs
        if not text.startswith(_QUIET)
    ]
    lines.sort(key=lambda line: line[0])
    return "\n".join(
        (
            *_plan_lines(result.plan),
            "",
            # Earlier lines belong to the start.
            *(_line(*line) for line in lines if line[0] >= EPOCH),
            "",
            *(f"BROKEN: {text}" for text in result.violations or ["nothing"]),
        )
    )


def _plan_lines(plan: Plan) -> list[str]:
    shape = plan.shape
    lines = [
        (
            f"Seed {plan.seed}: {shape.workers} workers, {shape.intakes} intake handlers,"
            f" {shape.repliers} reply handlers, burst {shape.burst}"
        ),
        f"Clocks: Redis {shape.redis_ahead_s:+.1f} s, Postgres {shape.postgres_ahead_s:+.1f} s",
    ]
    lines += [f"  {_write_text(write)}" for write in plan.writes]
    lines += [f"  {_fault_text(fault)}" for fault in plan.faults]
    return lines


def _write_text(write: Write) -> str:
    values = (
        [
            pool[number]
            for pool, number in ((NAMES, write.name), (PHONES, write.phone), (STAGES, write.stage))
            if number is not None
        ]
        if write.kind != "poison"
        else []
    )
    extras = [
        text
        for text, is_so in (("If-Match", write.if_match), ("Idempotency-Key", write.with_key))
        if is_so
    ]
    return f"{write.at_s:8.3f} s  user {write.user}: {write.kind} {', '.join([*values, *extras])}"


def _fault_text(fault: Fault) -> str:
    if fault.kind.startswith("portal: "):
        return f"{fault.kind} at its request {fault.nth} ({fault.amount:.1f})"
    when = f"{fault.at_s:.3f} s" if fault.at_s is not None else f"'{fault.moment}' no. {fault.nth}"
    later = f" + {fault.delay_s:.2f} s" if fault.delay_s else ""
    return f"{fault.kind} at {when}{later} ({fault.amount:.1f})"


def _line(at: float, who: str, what: str, facts: dict[str, Any]) -> str:
    return f"{at - EPOCH:10.3f}  {who:<13} {what}  {_text(facts)}".rstrip()


def _text(facts: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in facts.items())
