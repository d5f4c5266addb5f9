"""Executes the faults of a plan in the world."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.plan import STAGES, Fault
from tests.simulation.portal_model import Lead, PortalWrite, Trouble
from tests.simulation.world import EPOCH, Process

if TYPE_CHECKING:
    from tests.simulation.system import System


#: An instantaneous fault counts as a loss for this long.
MOMENT_S = 0.1


def schedule(system: "System", fault: Fault) -> None:
    """Schedule a fault."""
    world = system.world
    if fault.kind.startswith("portal: "):
        system.portal.troubles[fault.nth] = Trouble(
            fault.kind.removeprefix("portal: "), fault.amount
        )
    elif fault.at_s is not None:
        world.at(EPOCH + fault.at_s, partial(_execute, system, fault, None))
    else:
        planned = world.planned[fault.moment, fault.nth]
        planned.append(partial(_wait_for_moment, system, fault))
    if fault.kind in {"redis loses", "redis switched over"}:
        system.redis.may_lose = True
    if fault.kind == "postgres forked":
        system.postgres.may_lose = True


def _wait_for_moment(system: "System", fault: Fault, process: Process) -> None:
    if fault.delay_s:
        system.world.after(fault.delay_s, partial(_execute, system, fault, process))
    else:
        _execute(system, fault, process)


def _execute(system: "System", fault: Fault, process: Process | None) -> None:
    """Execute a fault; `process` is the one in which its moment occurred."""
    if system.is_calm:
        return
    if fault.kind in _ON_PROCESSES:
        if process is not None and process.kind != "client":
            _on_process(system, fault.kind, process, fault.amount)
        return
    system.world.record("fault", fault.kind, amount=round(fault.amount, 3), moment=fault.moment)
    _ON_SERVERS[fault.kind](system, fault)


_ON_PROCESSES = {"kill worker", "kill other", "freeze worker", "freeze other", "suspend worker"}


def _on_process(system: "System", kind: str, process: Process, amount: float) -> None:
    world = system.world
    if process.is_dead:
        return
    if kind.startswith("kill"):
        world.record("fault", f"kills {process.name}")
        world.kill(process)
        again_s = process.random.uniform(0.3, 3)
        system.note_loss(again_s)
        world.after(again_s, partial(system.restart, process))
        return
    is_suspend = kind.startswith("suspend")
    verb = "suspends" if is_suspend else "freezes"
    world.record("fault", f"{verb} {process.name}", seconds=round(amount, 3))
    system.note_loss(amount)
    world.freeze(process, amount, suspend=is_suspend)


def _redis_loses(system: "System", fault: Fault) -> None:
    system.note_redis_loss()
    lost_s = system.redis.restart(fault.amount, fault.choice)
    system.world.record("fault", "was lost", seconds=round(lost_s, 3))


def _redis_flushed(system: "System", _: Fault) -> None:
    system.note_redis_loss()
    system.redis.flush()


def _redis_restarted(system: "System", _: Fault) -> None:
    system.note_redis_loss()
    system.redis.restart(None)


def _redis_switched_over(system: "System", fault: Fault) -> None:
    """Promote a replica with another clock, which may lack the latest data."""
    system.note_redis_loss()
    lose_s = fault.amount if fault.choice % 2 else None  # every other replica lacks nothing
    ahead_s = (fault.choice - 5.5) / 1.1  # -5 to +5 s, as a choice is 0 to 11
    system.redis.restart(lose_s, fault.choice, ahead_s=ahead_s)


def _redis_away(system: "System", fault: Fault) -> None:
    system.note_loss(fault.amount)
    system.redis.go_away(fault.amount)


def _redis_entry_damaged(system: "System", fault: Fault) -> None:
    """Damage a field of a user's entry: it gets a value that our code never writes."""
    system.note_redis_loss()
    system.redis.damage(fault.choice)


def _postgres_away(system: "System", fault: Fault) -> None:
    system.note_loss(fault.amount)
    system.postgres.go_away(fault.amount)


def _postgres_forked(system: "System", fault: Fault) -> None:
    system.note_loss(MOMENT_S)
    system.fork(fault.amount, fault.choice)


def _rows_locked(system: "System", _: Fault) -> None:
    system.postgres.lock_next = True


def _broker_away(system: "System", fault: Fault) -> None:
    system.note_loss(fault.amount)
    system.broker.go_away(fault.amount)


def _broker_forgets(system: "System", _: Fault) -> None:
    system.note_loss(MOMENT_S)
    system.broker.forget()


def _confirm_lost(system: "System", _: Fault) -> None:
    system.broker.lose_confirms += 1


def _deliveries_shuffled(system: "System", _: Fault) -> None:
    system.broker.shuffle(system.other_sender)


def _portal_down(system: "System", fault: Fault) -> None:
    system.portal.down_until = system.world.now + fault.amount
    system.portal.down_code = ("OVERLOAD_LIMIT", "NO_AUTH_FOUND")[fault.choice % 2]


def _stage_by_hand(system: "System", fault: Fault) -> None:
    for lead in _some_lead(system, fault):
        lead.stage = (*STAGES, "JUNK")[fault.choice % 4]
        _record_write(system, lead, "update", {"stage": lead.stage})


def _name_by_hand(system: "System", fault: Fault) -> None:
    for lead in _some_lead(system, fault):
        lead.title = lead.name = "Кто-то Другой"
        _record_write(system, lead, "update", {"full_name": lead.title})


def _lead_deleted(system: "System", fault: Fault) -> None:
    for lead in _some_lead(system, fault):
        lead.is_deleted = True
        _record_write(system, lead, "delete", {})


def _some_lead(system: "System", fault: Fault) -> list[Lead]:
    """An existing lead, if there is any."""
    leads = [
        lead
        for lead in system.portal.leads.values()
        if not lead.is_deleted and not lead.is_neighbours
    ]
    return [leads[fault.choice % len(leads)]] if leads else []


def _record_write(system: "System", lead: Lead, kind: str, fields: dict[str, str]) -> None:
    now = system.world.now
    lead.writes.append(PortalWrite(now, is_ours=False, kind=kind, fields=fields))
    system.world.record("a person", f"{kind}s lead {lead.lead_id} by hand", **fields)


_ON_SERVERS: dict[str, Callable[["System", Fault], None]] = {
    "redis loses": _redis_loses,
    "redis flushed": _redis_flushed,
    "redis restarted": _redis_restarted,
    "redis switched over": _redis_switched_over,
    "redis away": _redis_away,
    "redis entry damaged": _redis_entry_damaged,
    "postgres away": _postgres_away,
    "postgres forked": _postgres_forked,
    "rows locked": _rows_locked,
    "broker away": _broker_away,
    "broker forgets": _broker_forgets,
    "confirm lost": _confirm_lost,
    "deliveries shuffled": _deliveries_shuffled,
    "portal down": _portal_down,
    "stage by hand": _stage_by_hand,
    "name by hand": _name_by_hand,
    "lead deleted": _lead_deleted,
}
