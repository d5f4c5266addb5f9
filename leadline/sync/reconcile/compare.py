"""Compares a user with its lead: differences, and whether they are drift. Pure rules, no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from leadline.bitrix24.lead_fields import further_fields
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.bitrix24.leads import DesiredState
from leadline.users.snapshots import UserSnapshot

#: `missing`: no lead; `doubled`: several; `unlinked`: one that the ledger does not name; `drifted`:
#: fields differ; `moved`: only the stage differs, as set in the CRM; `foreign`: a lead of our
#: originator without a user; `waiting`: not compared, its newest event is open.
Kind = Literal["ok", "waiting", "missing", "doubled", "unlinked", "drifted", "moved", "foreign"]

#: The kinds that count as drift; `moved` does not, since people may set stages in the CRM.
DRIFT: frozenset[Kind] = frozenset({"missing", "doubled", "unlinked", "drifted", "foreign"})


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a comparison, without personal data."""

    kind: Kind
    user_id: int | None
    #: The user's leads, the known one first; several if `doubled`.
    lead_ids: tuple[int, ...] = ()
    #: The fields that drifted: full_name, phone, stage, and those of the field map.
    fields: tuple[str, ...] = ()
    #: The stage was set in the CRM after ours had been applied.
    is_moved: bool = False
    #: Version of the user that was compared; 0 if none was.
    version: int = 0
    #: A resync of the user repairs it.
    is_repairable: bool = False


def compare(
    user: UserSnapshot, by_origin: Sequence[FoundLead], by_id: FoundLead | None, originator: str
) -> Finding:
    """Compare a user with its leads; `by_id` is the one with the user's lead id, if it exists."""
    if user.status == "waiting":
        return Finding("waiting", user.id, version=user.version)
    own_leads = leads_of(user, by_origin, by_id, originator)
    if not own_leads:
        return Finding("missing", user.id, version=user.version, is_repairable=True)
    lead = own_leads[0]
    drifted = drifted_fields(user, lead)
    is_moved = "stage" not in drifted and lead.stage != user.stage
    # The first that applies is the kind of the finding.
    applies: dict[Kind, bool] = {
        "doubled": len(own_leads) > 1,
        "unlinked": lead.lead_id != user.lead_id,
        "drifted": bool(drifted),
        "moved": is_moved,
        "ok": True,
    }
    return Finding(
        next(kind for kind, is_true in applies.items() if is_true),
        user.id,
        tuple(lead.lead_id for lead in own_leads),
        fields=drifted,
        is_moved=is_moved,
        version=user.version,
        # A failed user whose lead is correct: a resync makes it `synced`.
        is_repairable=applies["drifted"] or applies["unlinked"] or user.status == "failed",
    )


def leads_of(
    user: UserSnapshot, by_origin: Sequence[FoundLead], by_id: FoundLead | None, originator: str
) -> list[FoundLead]:
    """The user's leads: the one with the user's lead id first, then by age."""
    if by_origin:
        return sorted(by_origin, key=lambda lead: (lead.lead_id != user.lead_id, lead.lead_id))
    # A lead without an origin may be the user's, too: a reply or an import named it.
    return [] if by_id is None or by_id.belongs_to_other(originator) else [by_id]


def drifted_fields(user: UserSnapshot, lead: FoundLead) -> tuple[str, ...]:
    """The fields of the lead that drifted from the user's."""
    differs = {
        "full_name": lead.full_name != user.full_name,
        # Additional numbers on the lead are not drift.
        "phone": user.phone not in {number for number, _ in lead.phones},
        # People may change an applied stage in the CRM; one that was never applied is drift.
        "stage": user.is_stage_unsynced and lead.stage != user.stage,
    }
    core_fields = tuple(name for name, is_different in differs.items() if is_different)
    if not user.fields:
        return core_fields
    state = DesiredState(user.full_name, user.phone, user.stage, user.fields)
    return (*core_fields, *further_fields.differences(lead.further, state))
