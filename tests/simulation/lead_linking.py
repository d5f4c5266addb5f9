"""Duplicates before create in histories with faults: users are linked to leads made by hand.

`prepare` sets `LEADLINE_DUPLICATES=link`, gives the portal leads with the phones of the plan's
users, in a notation of people, and replaces the rules: the checker's know no leads without an
origin. No lead ever changes its user, no user has two, and a lead that only one user may have is
that user's: a worker that never links anyone breaks the last of these rules.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from tests.simulation import dangers, parallel, patches, play, rules
from tests.simulation import system as simulated
from tests.simulation.plan import FOREIGN, PHONES, Fault, Plan
from tests.simulation.portal_model import Lead, PortalModel, RecordedCommand, Request
from tests.simulation.system import System

_LEFT_OUT = {"name by hand", "lead deleted"}


class LinkingPortal(PortalModel):
    """A portal with leads made by hand, which finds leads by phone."""

    def add_by_hand(self, seed: int) -> None:
        """Add no, one or two leads for each phone."""
        random = Random(f"links/{seed}")  # noqa: S311 - reproducible from its seed
        for phone in PHONES:
            for _ in range(random.choices((0, 1, 2), (2, 6, 1))[0]):
                lead = Lead(
                    lead_id=len(self.leads) + 1,
                    title="By Hand",
                    name="By Hand",
                    stage="NEW",
                    originator="",
                    origin="",
                )
                lead.phones[self._new_row_id()] = f"8 ({phone[2:5]}) {phone[5:]}"
                self.leads[lead.lead_id] = lead

    def _command(self, command: RecordedCommand, request: Request) -> Any:
        if command.method != "crm.duplicate.findbycomm":
            return super()._command(command, request)
        phones = {_digits(value) for value in command.params["values"].values()}
        found = [
            lead.lead_id
            for lead in self.leads.values()
            if not lead.is_deleted and phones & {_digits(phone) for phone in lead.phones.values()}
        ]
        return {"LEAD": found[:20]} if found else []  # 20 at most, as Bitrix24 says

    def _update(self, params: dict[str, Any]) -> Lead:
        before = self.leads.get(int(params.get("id") or 0))
        origin = before.origin if before else ""
        lead = super()._update(params)
        if origin and lead.origin != origin:
            self._world.violations.append(
                f"lead {lead.lead_id} of user {origin} was given to user {lead.origin}"
            )
        return lead


class LinkingSystem(System):
    """A system whose portal has leads made by hand."""

    def __post_init__(self) -> None:
        """Add the leads made by hand."""
        super().__post_init__()
        assert isinstance(self.portal, LinkingPortal)
        self.portal.add_by_hand(self.plan.seed)


def prepare() -> None:
    """Link users in the histories of this process: an argument `prepare` of `parallel.play`."""
    play.ENVIRONMENT["LEADLINE_DUPLICATES"] = "link"
    os.environ["LEADLINE_DUPLICATES"] = "link"
    patches.replace(parallel, "draw", draw)
    patches.replace(play, "System", LinkingSystem)
    patches.replace(simulated, "PortalModel", LinkingPortal)
    patches.replace(rules, "violations", violations)


def claims_are_ignored() -> None:
    """A mistake to be detected: two users that have found the same lead are both linked to it."""
    prepare()
    patches.edit("claim_leads", "if holder and holder ~= user then return -1 end", "")


def no_one_is_linked() -> None:
    """A mistake to be detected: the results of a search are ignored."""
    prepare()
    from leadline.sync.duplicates import rules as duplicates  # noqa: PLC0415 - in a playing process

    patches.replace(duplicates, "finds_leads", lambda: False)


def draw(seed: int) -> Plan:
    """The plan of this seed, without people who rename or delete leads."""
    plan = dangers.draw(seed)
    items = [
        item for item in plan.items if not (isinstance(item, Fault) and item.kind in _LEFT_OUT)
    ]
    return replace(plan, items=tuple(items))


def violations(system: System) -> list[str]:
    """Every rule that was broken."""
    return [
        *system.world.violations,
        *_doubled_users(system),
        *_differing_leads(system),
        *_missed_links(system),
    ]


def _doubled_users(system: System) -> Iterator[str]:
    owners = Counter(
        lead.origin
        for lead in system.portal.leads.values()
        if lead.origin and not lead.is_neighbours
    )
    for origin, leads in owners.items():
        if leads > 1:
            yield f"user {origin} has {leads} leads"


def _differing_leads(system: System) -> Iterator[str]:
    none = Lead(lead_id=0, title="", name="", stage="", originator="", origin="")
    leads = {lead.origin: lead for lead in system.portal.leads.values() if not lead.is_neighbours}
    sql = "SELECT id, full_name, phone, sync_status, bitrix_lead_id FROM users"
    for user_id, name, phone, status, lead_id in system.store.admin.run(sql):
        lead = leads.get(str(user_id), none)
        if status == "waiting":
            yield f"user {user_id} waits forever"
        elif status == "synced" and lead.lead_id != lead_id:
            yield f"user {user_id} is synced without its lead {lead_id}"
        elif status == "synced" and (lead.title != name or phone not in lead.phones.values()):
            yield f"lead {lead.lead_id} of user {user_id} is not its user"


def _missed_links(system: System) -> Iterator[str]:
    """A lead has no user although it was always open, and only one user ever had its phone."""
    leads = system.portal.leads.values()
    for index, phone in enumerate(PHONES):
        users = {write.user for write in system.plan.writes if write.phone == index}
        free = [lead for lead in leads if not lead.origin and _has_phone(lead, phone)]
        if len(users) != 1 or len(free) != 1 or free[0].writes:
            continue
        user_id = _id_if_only_phone(system, users.pop(), index)
        if user_id is None:
            continue
        for lead in leads:
            if lead.origin == str(user_id) and lead.lead_id > free[0].lead_id:
                yield f"user {user_id} got lead {lead.lead_id} and not {free[0].lead_id}"


def _has_phone(lead: Lead, phone: str) -> bool:
    """Whether the lead has this phone, in any notation: with +7 or with 8."""
    return _digits(phone)[1:] in {_digits(held)[1:] for held in lead.phones.values()}


def _id_if_only_phone(system: System, user: int, phone: int) -> int | None:
    """The id of this user, if it is ours and never had another phone."""
    writes = [
        write for write in system.plan.writes if write.user == user and write.phone is not None
    ]
    user_id = system._users.get(user)  # as a client knows it
    is_ours = user_id is not None and user_id not in FOREIGN
    return user_id if is_ours and {write.phone for write in writes} == {phone} else None


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)
