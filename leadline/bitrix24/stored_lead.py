"""Desired state and last applied as the work queue stores them, by Redis' own field names.

Further fields are stored apart: workers of earlier releases ignore them.
"""

from collections.abc import Mapping
from dataclasses import replace

import orjson

from leadline.bitrix24.lead_fields.applied_fields import AppliedFields
from leadline.bitrix24.leads import DesiredState, LastApplied

#: Fields of an entry to write, by their names in Redis; an empty text deletes one.
Fields = dict[str, str | bytes | int]


def dump_last_applied(lead: LastApplied, before: LastApplied | None) -> Fields:
    """The fields that store what was last applied; further fields apart, for earlier releases.

    `before`: what the entry stores so far. Its further fields are deleted if `lead` has none.
    """
    core_fields = {
        "lead_id": lead.lead_id,
        "full_name": lead.full_name,
        "phone": lead.phone,
        "phone_row": lead.phone_row,
    }
    stored: Fields = {"agreed": orjson.dumps(core_fields)}
    further = lead.further
    if further.values or further.rows:
        stored["agreed_fields"] = orjson.dumps(
            {"lead_id": lead.lead_id, "values": further.values, "rows": further.rows}
        )
    elif before is not None and (before.further.values or before.further.rows):
        stored["agreed_fields"] = ""
    return stored


def load_last_applied(content: Mapping[bytes, bytes]) -> LastApplied | None:
    """Last applied as `dump_last_applied` stored it; None if nothing was applied."""
    stored = content.get(b"agreed")
    if not stored:
        return None
    lead = LastApplied(**orjson.loads(stored))
    if b"agreed_fields" not in content:
        return lead
    further = orjson.loads(content[b"agreed_fields"])
    if further.get("lead_id") != lead.lead_id:  # stored for an earlier lead
        return lead
    return replace(lead, further=AppliedFields(further["values"], further["rows"]))


def load_state(content: Mapping[bytes, bytes]) -> DesiredState | None:
    """The desired state; None if no message carried one."""
    stored = content.get(b"state")
    if not stored:
        return None
    desired = DesiredState(**orjson.loads(stored))
    if values := content.get(b"fields"):
        desired = replace(desired, fields=orjson.loads(values))
    if refused := content.get(b"refused"):
        desired = replace(desired, refused=frozenset(refused.decode().split(",")))
    return desired
