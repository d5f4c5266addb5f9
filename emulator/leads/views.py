"""A lead as crm.lead.* (texts), as crm.item.* (typed values) and as a card of the board."""

from typing import Any

from emulator.leads.fields import FIELDS, INTEGERS, MULTIFIELDS
from emulator.leads.store import Lead


def scalars(lead: Lead) -> dict[str, str | None]:
    """All single-valued fields as crm.lead.* returns them."""
    types = {row.type_id for row in lead.rows}
    values: dict[str, str | None] = {}
    for name, field in FIELDS.items():
        values[name] = lead.data.get(name, field.new)
    values["ID"] = str(lead.id)
    values["HAS_PHONE"] = _yes("PHONE" in types)
    values["HAS_EMAIL"] = _yes("EMAIL" in types)
    return values


def multifields(lead: Lead) -> dict[str, list[dict[str, str]]]:
    """The rows by type; types without a row are absent."""
    shown: dict[str, list[dict[str, str]]] = {}
    for type_id in MULTIFIELDS:
        rows = [
            {
                "ID": str(row.id),
                "VALUE_TYPE": row.value_type,
                "VALUE": row.value,
                "TYPE_ID": type_id,
            }
            for row in lead.rows
            if row.type_id == type_id
        ]
        if rows:
            shown[type_id] = rows
    return shown


def item(lead: Lead) -> dict[str, Any]:
    """The lead as crm.item.* returns it, without `fm`."""
    typed: dict[str, Any] = {"entityTypeId": 1}
    for name, value in scalars(lead).items():
        typed[FIELDS[name].camel] = _typed(FIELDS[name].kind, value)
    return typed


def fm(lead: Lead) -> list[dict[str, Any]]:
    """The multifield rows as crm.item.* returns them."""
    return [
        {"id": row.id, "valueType": row.value_type, "value": row.value, "typeId": row.type_id}
        for row in lead.rows
    ]


def card(lead: Lead) -> dict[str, Any]:
    """The lead as a card of the board."""
    phones = [row.value for row in lead.rows if row.type_id == "PHONE"]
    return {
        "id": lead.id,
        "title": lead.data.get("TITLE"),
        "name": lead.data.get("NAME"),
        "stage": lead.data.get("STATUS_ID"),
        "originator_id": lead.data.get("ORIGINATOR_ID"),
        "origin_id": lead.data.get("ORIGIN_ID"),
        "phones": phones,
    }


def _yes(condition: bool) -> str:  # noqa: FBT001 (a yes or no is all there is)
    return "Y" if condition else "N"


def _typed(kind: str, value: str | None) -> Any:
    if value is None or value == "":
        return None
    if kind in INTEGERS:
        return int(value) if value.isdigit() else 0
    if kind == "double":
        return float(value)
    return value
