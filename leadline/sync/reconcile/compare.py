"""A user beside its lead: what differs, and whose business that is. Pure rules, no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from leadline.bitrix24.lead_answers import FoundLead
from leadline.users.snapshots import Kept

Kind = Literal["ok", "waiting", "missing", "doubled", "unlinked", "drifted", "moved", "foreign"]

#: What somebody should know of: a stage that was set in the CRM is a person's good right.
DIFFERENCES: frozenset[Kind] = frozenset({"missing", "doubled", "unlinked", "drifted", "foreign"})


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a comparison; nothing personal is in it."""

    kind: Kind
    user_id: int | None
    #: The user's lead first; of a doubled one all of them.
    lead_ids: tuple[int, ...] = ()
    #: What should not differ and does: full_name, phone, stage.
    fields: tuple[str, ...] = ()
    #: The stage was set in the CRM after both sides had agreed on another.
    is_moved: bool = False
    #: The user as it was compared.
    version: int = 0
    #: The newest state must be written once more.
    is_repairable: bool = False


def compare(
    user: Kept, by_origin: Sequence[FoundLead], by_id: FoundLead | None, originator: str
) -> Finding:
    """How this user stands; `by_id` is the lead that the ledger names, where it exists."""
    if user.status == "waiting":
        return Finding("waiting", user.id, version=user.version)
    ours = _ours(user, by_origin, by_id, originator)
    if not ours:
        return Finding("missing", user.id, version=user.version, is_repairable=True)
    lead = ours[0]
    drifted = _drifted(user, lead)
    is_moved = "stage" not in drifted and lead.stage != user.stage
    claims: dict[Kind, bool] = {
        "doubled": len(ours) > 1,
        "unlinked": lead.lead_id != user.lead_id,
        "drifted": bool(drifted),
        "moved": is_moved,
        "ok": True,
    }
    return Finding(
        next(kind for kind, is_true in claims.items() if is_true),
        user.id,
        tuple(lead.lead_id for lead in ours),
        drifted,
        is_moved,
        user.version,
        # Whoever failed and is in order all the same only needs to hear so.
        is_repairable=claims["drifted"] or claims["unlinked"] or user.status == "failed",
    )


def _ours(
    user: Kept, by_origin: Sequence[FoundLead], by_id: FoundLead | None, originator: str
) -> list[FoundLead]:
    """The user's leads: the one that the ledger names first, then by age."""
    if by_origin:
        return sorted(by_origin, key=lambda lead: (lead.lead_id != user.lead_id, lead.lead_id))
    # Without an origin it can be ours all the same: a reply or an import named it.
    return [] if by_id is None or by_id.belongs_to_other(originator) else [by_id]


def _drifted(user: Kept, lead: FoundLead) -> tuple[str, ...]:
    differs = {
        "full_name": lead.full_name != user.full_name,
        # Another number beside ours is the portal's business.
        "phone": user.phone not in {number for number, _ in lead.phones},
        # An agreed stage may be changed in the CRM; one that never got there is owed.
        "stage": user.owes_stage and lead.stage != user.stage,
    }
    return tuple(name for name, is_other in differs.items() if is_other)
