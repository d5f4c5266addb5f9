"""The rules for a finished history: the checker's, and those of the simulation alone."""

from collections import Counter
from collections.abc import Iterator

import orjson

from leadline.messages import topology
from tests.checker.check import check
from tests.simulation.record import history
from tests.simulation.system import FOREIGN_QUEUE, System


def violations(system: System) -> list[str]:
    """Every rule that was broken."""
    return [
        *system.world.violations,
        *_checker_violations(system),
        *_foreign(system),
        *_leftovers(system),
        *_neighbours(system),
    ]


def _checker_violations(system: System) -> Iterator[str]:
    """The checker's rules."""
    yield from map(str, check(history(system)))


def _foreign(system: System) -> Iterator[str]:
    """A sender without versions gets its replies, and its lead is one of the states it sent.

    Its messages are sent once: if a broker forgets one, and Redis with it, it is lost.
    """
    if any(fault.kind == "broker forgets" for fault in system.plan.faults):
        return
    answered = Counter(
        orjson.loads(message.body)["user_id"] for message in system.broker.queues[FOREIGN_QUEUE]
    )
    for user_id, sent in system.foreign.items():
        if not answered[user_id] and not system.redis_losses:
            yield f"foreign user {user_id} got no answer"
        leads = system.portal.of_user(user_id)
        if len(leads) > 1:
            yield f"foreign user {user_id} has {len(leads)} leads"
        for lead in leads:
            states = [(name, (phone,)) for _, (name, phone, _) in sent]
            by_hand = any(not write.is_ours for write in lead.writes)
            if (lead.title, tuple(lead.phones.values())) not in states and not by_hand:
                yield f"foreign user {user_id} has a lead in a state that was never sent"


def _neighbours(system: System) -> Iterator[str]:
    """Leads of another installation that were changed; they may have the origin of a user."""
    for lead in system.portal.leads.values():
        if lead.is_neighbours and lead.writes:
            yield f"lead {lead.lead_id} of another installation was written: {lead.writes[-1]}"


def _leftovers(system: System) -> Iterator[str]:
    """Messages that are left in the end, other than dead letters."""
    final_queues = {
        FOREIGN_QUEUE,
        *map(topology.dead_letter_name, (topology.REQUESTS, topology.REPLIES)),
    }
    for queue, waiting in system.broker.queues.items():
        if waiting and queue not in final_queues:
            yield f"{len(waiting)} messages are left in {queue}"
