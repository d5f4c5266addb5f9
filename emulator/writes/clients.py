"""The clients of an object, contacts or companies: one field has the first, another has all."""

from collections.abc import Mapping
from typing import Any

from emulator.entities.entity import COMPANY, CONTACT, LEAD, Entity

#: The field of the first object, and the field of all; a company has only the latter.
_FIELDS = {
    COMPANY.type_id: ("", "CONTACT_ID"),
    CONTACT.type_id: ("COMPANY_ID", "COMPANY_IDS"),
}


def field_names(entity: Entity) -> tuple[str, str]:
    """The field of the first bound object, and the field of all."""
    return _FIELDS.get(entity.type_id, ("CONTACT_ID", "CONTACT_IDS"))


def align_fields(entity: Entity, changes: dict[str, Any], after: Mapping[str, Any]) -> None:
    """Make both fields agree in `changes`, and mark repeat leads.

    `after`: the object with `changes` applied. A lead is a repeat one if it has a contact or a
    company (crm/leads/crm-lead-add.md).
    """
    if entity is COMPANY:
        return
    first_field, all_field = field_names(entity)
    if all_field in changes:
        changes[first_field] = changes[all_field][0] if changes[all_field] else None
    elif first_field in changes:
        changes[all_field] = [changes[first_field]] if _is_set(changes[first_field]) else []
    if entity is LEAD and ("COMPANY_ID" in changes or first_field in changes):
        contact = changes.get(first_field, after.get(first_field))
        is_repeat = _is_set(contact) or _is_set(after.get("COMPANY_ID"))
        changes["IS_RETURN_CUSTOMER"] = "Y" if is_repeat else "N"


def _is_set(value: object) -> bool:
    return value not in (None, "", "0")
