"""The lines of a plan: for each user, the changes that would be written. Pure rules, no I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from leadline.bitrix24.lead_fields.contact_details import ContactDetails
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.bitrix24.leads import DesiredState
from leadline.sync.reconcile.compare import drifted_fields, leads_of
from leadline.users.snapshots import UserSnapshot

#: `create`: no lead; `update`: its lead differs; `match`: one open lead without origin has its
#: phone or e-mail; `ambiguous`: several may be meant; `foreign`: its lead is another
#: installation's, or a lead of ours has no user.
Kind = Literal["create", "update", "match", "ambiguous", "foreign"]
KINDS: tuple[Kind, ...] = ("create", "update", "match", "ambiguous", "foreign")
#: The kinds that `leadline apply` writes.
APPLIED: tuple[Kind, ...] = ("create", "update", "match")

#: For each field, two values: the lead's, and the user's.
Changes = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a plan, about one user or about a lead of ours without a user."""

    kind: Kind
    user_id: int | None
    #: Version of the user that was compared; 0 without a user.
    version: int = 0
    #: The lead that would be written.
    lead_id: int | None = None
    #: All leads that match.
    lead_ids: tuple[int, ...] = ()
    #: Contacts that have the user's phone or one of its e-mails.
    contact_ids: tuple[int, ...] = ()
    changes: Changes = field(default_factory=dict)


def line_for(
    user: UserSnapshot,
    by_origin: Sequence[FoundLead],
    by_id: FoundLead | None,
    candidates: Sequence[FoundLead],
    originator: str,
) -> Line | None:
    """The line of this user; None if it is linked, and its lead equals it or soon will.

    `by_id`: the lead that the user names. `candidates`: leads that no user has, see `matching`.
    """
    own_leads = leads_of(user, by_origin, by_id, originator)
    if len(own_leads) > 1:
        return _line("ambiguous", user, lead_ids=_ids(own_leads))
    if own_leads:
        return _line_of_linked(user, own_leads[0])
    if by_id is not None:
        return _line("foreign", user, lead_ids=(by_id.lead_id,))
    if len(candidates) > 1:
        return _line("ambiguous", user, lead_ids=_ids(candidates))
    if candidates:
        lead = candidates[0]
        changes = _changes(user, lead)
        return _line("match", user, lead.lead_id, lead_ids=(lead.lead_id,), changes=changes)
    return _line("create", user)


def _line_of_linked(user: UserSnapshot, lead: FoundLead) -> Line | None:
    if user.status == "waiting":
        return None  # its open event writes what differs
    changes = _changes(user, lead)
    if user.lead_id != lead.lead_id:
        changes["bitrix_lead_id"] = [lead.lead_id, user.lead_id]
    if user.status == "failed":
        changes["status"] = ["failed", "synced"]
    if not changes:
        return None
    return _line("update", user, lead.lead_id, lead_ids=(lead.lead_id,), changes=changes)


def matching(user: UserSnapshot, candidates: Iterable[FoundLead]) -> list[FoundLead]:
    """The open leads without an origin that have the user's phone, or one of its e-mails."""
    details = ContactDetails.of(user)
    return [lead for lead in candidates if lead.is_free and lead.contact_details.matches(details)]


def _changes(user: UserSnapshot, lead: FoundLead) -> Changes:
    state = DesiredState(user.full_name, user.phone, user.stage, user.fields or {})
    changes = {name: list(pair) for name, pair in lead.differences(state).items()}
    if "stage" in drifted_fields(user, lead):
        changes["stage"] = [lead.stage, user.stage]
    return changes


def _line(
    kind: Kind,
    user: UserSnapshot,
    lead_id: int | None = None,
    *,
    lead_ids: tuple[int, ...] = (),
    changes: Changes | None = None,
) -> Line:
    return Line(kind, user.id, user.version, lead_id, lead_ids, changes=changes or {})


def _ids(leads: Sequence[FoundLead]) -> tuple[int, ...]:
    return tuple(lead.lead_id for lead in leads)
