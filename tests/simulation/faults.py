"""Faults of a plan, brought about in the world."""

from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.plan import STAGES, Fault
from tests.simulation.portal_model import Lead, Trouble, Written
from tests.simulation.world import EPOCH, Process

if TYPE_CHECKING:
    from tests.simulation.system import System


def arrange(system: "System", fault: Fault) -> None:
    """Let it happen when its time has come."""
    world = system.world
    if fault.kind.startswith("portal: "):
        system.portal.troubles[fault.nth] = Trouble(
            fault.kind.removeprefix("portal: "), fault.amount
        )
    elif fault.at_s is not None:
        world.at(EPOCH + fault.at_s, partial(_happen, system, fault, None))
    else:
        planned = world.planned[fault.moment, fault.nth]
        planned.append(partial(_when_it_comes, system, fault))
    if fault.kind in {"redis loses", "redis switched over"}:
        system.redis.may_lose = True
    if fault.kind == "postgres forked":
        system.postgres.may_lose = True


def _when_it_comes(system: "System", fault: Fault, process: Process) -> None:
    if fault.delay_s:
        system.world.after(fault.delay_s, partial(_happen, system, fault, process))
    else:
        _happen(system, fault, process)


def _happen(system: "System", fault: Fault, process: Process | None) -> None:
    """Bring it about; `process`: where the moment was."""
    world = system.world
    if system.is_calm:
        return
    kind, amount = fault.kind, fault.amount
    if kind in _ON_PROCESSES:
        if process is not None and process.kind != "client":
            _on_process(system, kind, process, amount)
        return
    world.tell("fault", kind, amount=round(amount, 3), moment=fault.moment)
    if not kind.endswith("by hand") and kind not in {"lead deleted", "portal down"}:
        system.note_loss(amount if kind.endswith("away") else 0.1)
    if kind in _REDIS_LOSES:
        system.redis_losses.append(world.now)
    if kind == "redis loses":
        world.tell("fault", "was lost", seconds=round(system.redis.restart(amount), 3))
    elif kind == "redis flushed":
        system.redis.flush()
    elif kind == "redis restarted":
        system.redis.restart(None)
    elif kind == "redis switched over":
        lose_s = amount if fault.choice % 2 else None
        system.redis.restart(lose_s, (fault.choice - 5.5) / 1.1)
    elif kind == "redis away":
        system.redis.away(amount)
    elif kind == "postgres away":
        system.postgres.away(amount)
    elif kind == "postgres forked":
        system.fork(amount)
    elif kind == "broker away":
        system.broker.away(amount)
    elif kind == "broker forgets":
        system.broker.forget()
    elif kind == "confirm lost":
        system.broker.lose_confirms += 1
    elif kind == "deliveries shuffled":
        system.broker.shuffle(system.somebody)
    elif kind == "portal down":
        system.portal.down_until = world.now + amount
        system.portal.down_code = ("OVERLOAD_LIMIT", "NO_AUTH_FOUND")[fault.choice % 2]
    else:
        _by_hand(system, fault)


_REDIS_LOSES = {"redis loses", "redis flushed", "redis restarted", "redis switched over"}
_ON_PROCESSES = {
    "kill worker",
    "kill other",
    "freeze worker",
    "freeze other",
    "suspend worker",
}


def _on_process(system: "System", kind: str, process: Process, amount: float) -> None:
    world = system.world
    if process.is_dead:
        return
    if kind.startswith("kill"):
        world.tell("fault", f"kills {process.name}")
        world.kill(process)
        again_s = process.random.uniform(0.3, 3)
        system.note_loss(again_s)
        world.after(again_s, partial(system.start_again, process))
        return
    is_suspend = kind.startswith("suspend")
    verb = "suspends" if is_suspend else "freezes"
    world.tell("fault", f"{verb} {process.name}", seconds=round(amount, 3))
    system.note_loss(amount)
    world.freeze(process, amount, suspend=is_suspend)


def _by_hand(system: "System", fault: Fault) -> None:
    leads = [lead for lead in system.portal.leads.values() if not lead.is_deleted]
    if not leads:
        return
    lead: Lead = leads[fault.choice % len(leads)]
    now = system.world.now
    system.world.tell("a person", fault.kind, lead=lead.lead_id)
    if fault.kind == "stage by hand":
        lead.stage = (*STAGES, "JUNK")[fault.choice % 4]
        lead.writes.append(Written(now, False, "update", {"stage": lead.stage}))
    elif fault.kind == "name by hand":
        lead.title = lead.name = "Кто-то Другой"
        lead.writes.append(Written(now, False, "update", {"full_name": lead.title}))
    elif fault.kind == "lead deleted":
        lead.is_deleted = True
        lead.writes.append(Written(now, False, "delete", {}))
        system.deleted.add(lead.origin)
