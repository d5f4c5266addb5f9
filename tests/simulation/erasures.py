"""Erasures in histories with faults: nothing may restore the person's data.

`prepare` adds an erasure of some users to each plan, at any moment, and replaces the rules:
the checker's are about users that stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

from leadline.errors import LeadlineError
from leadline.ledger.erasure import erase
from leadline.messages.contract import ERASED_NAME
from leadline.users.model import UserId
from tests.simulation import dangers, parallel, patches, play, rules
from tests.simulation.plan import FOREIGN, NAMES, PHONES, Fault, Plan
from tests.simulation.system import System
from tests.simulation.world import EPOCH

#: A fork may lose writes that were answered this long before it.
FORK_LOSES_S = 3.0
#: Clients no longer begin an erasure after this time without a living process or a known user.
_GIVEN_UP_S = 600


@dataclass
class Erasure:
    """An erasure that was answered with 204."""

    user_id: int
    at: float


class ErasingSystem(System):
    """A system whose clients also erase users; they repeat the request until it is answered."""

    def __post_init__(self) -> None:
        """Add the times of the erasures."""
        self.erased: list[Erasure] = []
        super().__post_init__()
        random = Random(f"erasures/{self.plan.seed}")  # noqa: S311 - reproducible from its seed
        writes = [write for write in self.plan.writes if write.kind not in {"foreign", "poison"}]
        last_s = max((write.at_s for write in writes), default=0.0)
        for user in sorted({write.user for write in writes}):
            if random.random() < 0.7:
                at_s = random.choice((random.uniform(0, last_s), last_s + random.uniform(0, 5)))
                self.world.at(EPOCH + at_s, partial(self._request, user))

    def _request(self, user: int, wait_s: float = 0.5) -> None:
        """Erase a user; without a living process or a known user, again after `wait_s`."""
        alive = [api for api in self._apis if not api.is_dead]
        if not alive or user not in self._users:
            if self.world.now < EPOCH + _GIVEN_UP_S:
                # Ever longer: while short waits are due, the clock skips no time.
                self.world.after(wait_s, partial(self._request, user, 2 * wait_s))
            return
        process = alive[user % len(alive)]
        request_again = partial(self.world.after, 1.0, partial(self._request, user))
        process.on_death.append(request_again)
        self.world.spawn(process, partial(self._erase, user, request_again))

    def _erase(self, user: int, request_again: partial[None]) -> None:
        process = self.world.process
        user_id = self._users[user]
        try:
            erase.erase(UserId(user_id))
        except LeadlineError as error:
            process.on_death.remove(request_again)
            if error.status >= 500:  # a fork may have lost the user: 404
                request_again()
            return
        except Exception as error:  # noqa: BLE001 - a 500; judged afterwards
            self.record_unexpected(error)
            return
        process.on_death.remove(request_again)
        self.erased.append(Erasure(user_id, self.world.now))
        self.world.record("client", "erasure answered 204", user=user_id)


def prepare() -> None:
    """Erase users in the histories of this process: an argument `prepare` of `parallel.play`."""
    patches.replace(parallel, "draw", draw)
    patches.replace(play, "System", ErasingSystem)
    patches.replace(rules, "violations", violations)


def lookup_is_left_out() -> None:
    """A mistake to be detected: an erasure trusts last applied."""
    prepare()
    patches.edit("put", "if request.is_lookup_requested and order >", "if false and order >")


def draw(seed: int) -> Plan:
    """The plan of this seed, without people who type names into leads."""
    plan = dangers.draw(seed)
    items = [
        item for item in plan.items if not (isinstance(item, Fault) and item.kind == "name by hand")
    ]
    return replace(plan, items=tuple(items))


def violations(system: ErasingSystem) -> list[str]:
    """Every rule that was broken."""
    return [*system.world.violations, *_erasure_violations(system)]


def _erasure_violations(system: ErasingSystem) -> Iterator[str]:
    admin = system.store.admin
    users = {
        user_id: (is_erased, status)
        for user_id, is_erased, status in admin.run(
            "SELECT id, erased_at IS NOT NULL, sync_status FROM users"
        )
    }
    for user_id in sorted({erasure.user_id for erasure in system.erased}):
        is_erased, status = users.get(user_id, (None, None))
        if not is_erased:
            if not _may_be_lost(system, user_id):
                yield f"user {user_id} was erased and is back"
            continue
        if status == "waiting":
            yield f"the erasure of user {user_id} never ends"
        events = admin.run(
            "SELECT count(*) FROM events WHERE user_id = :id AND full_name || phone <> ''",
            id=user_id,
        )
        if events[0][0]:
            yield f"events of erased user {user_id} name the person"
        if traces := [text for text in (*NAMES, *PHONES) if text in _in_redis(system, user_id)]:
            yield f"Redis keeps {', '.join(traces)} of erased user {user_id}"
        leads = system.portal.of_user(user_id) if status == "synced" else []
        for lead in leads:
            if lead.title != ERASED_NAME or lead.phones:
                yield f"lead {lead.lead_id} of erased user {user_id} is {lead.title}"


def _may_be_lost(system: ErasingSystem, user_id: int) -> bool:
    """Whether forks of Postgres may have lost every answered erasure of this user."""
    forks = [fork.at for fork in system.forks]
    # An erasure is stored up to a second before its answer arrives.
    return all(
        any(erasure.at - 1 <= fork <= erasure.at + FORK_LOSES_S for fork in forks)
        for erasure in system.erased
        if erasure.user_id == user_id
    )


def _in_redis(system: ErasingSystem, user_id: int) -> str:
    assert user_id not in FOREIGN
    raw = system.server.raw
    found = []
    for name in (f"user:{user_id}", f"user:{user_id}:events", f"unreadable:{user_id}"):
        for key in raw.keys(f"*}}:{name}"):
            values: list[Any] = raw.hvals(key)
            found += [value.decode("utf-8", "replace") for value in values]
    return " ".join(found)
