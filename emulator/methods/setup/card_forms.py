"""crm.lead.details.configuration.* and the like: the form of an object's card.

A form is a list of sections with the fields in them, personal (P) or common (C). Documentation:
crm/universal/item-details-configuration/, crm/leads/custom-form/ and their neighbours.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from emulator.entities.entity import COMPANY, CONTACT, DEAL, LEAD, QUOTE, Entity
from emulator.entities.multifields import positive_int
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.users import ADMIN

_FAMILY = "card_form"
_SECTIONS_MAX = 100


def get(entity: Entity | None, call: Call) -> MethodResult:
    """The form that was set, or the default form."""
    entity_type = _type_of_form(entity, call)
    stored = _find(call, _key(entity_type, call))
    if stored is None:
        return MethodResult(_default_form(entity_type))
    _, sections = stored
    return MethodResult(sections)


def replace(entity: Entity | None, call: Call) -> MethodResult:
    """Replace the form; returns true."""
    key = _key(_type_of_form(entity, call), call)
    sent = call.argument("data")
    if not isinstance(sent, list | dict):
        raise RestError("", "Parameter 'data' must be array.")
    if not sent:
        raise RestError("", "There are no data to write.")
    if isinstance(sent, dict):
        raise RestError("", "The data must be indexed array.")
    sections = [_section(index, section) for index, section in enumerate(sent[:_SECTIONS_MAX])]
    stored = _find(call, key)
    records = call.portal.records
    record = {"key": key, "sections": sections}
    if stored:
        records.put(_FAMILY, stored[0], record)
    else:
        records.add(_FAMILY, record)
    return MethodResult(result=True)


def reset(entity: Entity | None, call: Call) -> MethodResult:
    """Restore the default form; returns true."""
    stored = _find(call, _key(_type_of_form(entity, call), call))
    if stored:
        call.portal.records.delete(_FAMILY, stored[0])
    return MethodResult(result=True)


def force_common(entity: Entity | None, call: Call) -> MethodResult:
    """Delete all personal forms, so that everyone sees the common one; returns true."""
    entity_type = _type_of_form(entity, call)
    call.require_admin(code="")
    for record_id, record in call.portal.records.all(_FAMILY).items():
        type_id, scope, _, extras = record["key"]
        if [type_id, scope, extras] == [entity_type.type_id, "P", _extras(call)]:
            call.portal.records.delete(_FAMILY, record_id)
    return MethodResult(result=True)


def _type_of_form(entity: Entity | None, call: Call) -> Entity:
    """The type that a method is for, or that crm.item.* names."""
    if entity is not None:
        return entity
    sent = call.argument("entityTypeId")
    if sent in (None, ""):
        raise RestError("", "Parameter 'entityTypeId' is not defined")
    entity_type = call.portal.types.get(positive_int(sent))
    if entity_type is None or entity_type is QUOTE:
        name = entity_type.name if entity_type else str(sent)[:50]
        text = f"The entity type '{name}' is not supported in current context."
        raise RestError("", text)
    return entity_type


def _key(entity: Entity, call: Call) -> list[Any]:
    """What identifies a form: type, scope, user (0: common), extras; raises RestError."""
    scope = "C" if call.argument("scope") == "C" else "P"
    user = positive_int(call.argument("userId")) or call.user
    if call.user != ADMIN and (scope == "C" or user != call.user):
        raise RestError("", "Access denied.")
    return [entity.type_id, scope, 0 if scope == "C" else user, _extras(call)]


def _extras(call: Call) -> int:
    """The pipeline, or the kind of lead, that the form is for."""
    sent = call.argument("extras")
    extras = sent if isinstance(sent, dict) else {}
    names = ("dealCategoryId", "categoryId", "leadCustomerType")
    return next((number for name in names if (number := positive_int(extras.get(name)))), 0)


def _find(call: Call, key: list[Any]) -> tuple[int, list[Any]] | None:
    """The record's number and the sections of a stored form, or None."""
    for record_id, record in call.portal.records.all(_FAMILY).items():
        if record["key"] == key:
            return record_id, record["sections"]
    return None


def _section(section_index: int, sent: Any) -> dict[str, Any]:
    """A section as stored; raises RestError if it is invalid."""
    section = sent if isinstance(sent, dict) else {}
    if section.get("type") != "section":
        kind = str(section.get("type", ""))[:50]
        text = f"Section at index {section_index} have type {kind}. The expected type is 'section'."
        raise RestError("", text)
    for name in ("name", "title"):
        if not section.get(name):
            raise RestError("", f"Section at index {section_index} does not have {name}.")
    sent_elements = section.get("elements")
    elements = []
    for index, element in enumerate(sent_elements if isinstance(sent_elements, list) else []):
        if not isinstance(element, dict) or not element.get("name"):
            text = (
                f"Element at index {index} in section at index {section_index} does not have name."
            )
            raise RestError("", text)
        elements.append(_element(element))
    texts = {name: str(section[name])[:255] for name in ("name", "title", "type")}
    return {**texts, "elements": elements}


def _element(sent: dict[str, Any]) -> dict[str, Any]:
    """An element as stored: a field of the section."""
    options = sent.get("options")
    return {
        "name": str(sent["name"])[:255],
        "optionFlags": str(positive_int(sent.get("optionFlags")) or 0),
        **({"options": options} if isinstance(options, dict) and options else {}),
    }


def _default_form(entity: Entity) -> list[dict[str, Any]]:
    """The form of a type for which none was set."""
    main_fields = ("TITLE", "NAME", "LAST_NAME", entity.stage_field, "OPPORTUNITY", "CONTACT_ID")
    additional = ("TYPE_ID", "SOURCE_ID", "OPENED", "ASSIGNED_BY_ID", "OBSERVERS", "COMMENTS")
    names = {"OPPORTUNITY": "OPPORTUNITY_WITH_CURRENCY", "CONTACT_ID": "CLIENT"}
    names["OBSERVERS"] = "OBSERVER"
    sections = (
        ("main", f"About the {entity.title.lower()}", main_fields),
        ("additional", "Additional", additional),
    )
    return [
        {
            "name": name,
            "title": title,
            "type": "section",
            "elements": [
                _element({"name": names.get(field, field)})
                for field in fields
                if field in entity.field_names
            ],
        }
        for name, title, fields in sections
    ]


_VERBS: dict[str, Callable[[Entity | None, Call], MethodResult]] = {
    "get": get,
    "set": replace,
    "reset": reset,
    "forcecommonscopeforall": force_common,
}
_FAMILIES: dict[str, Entity | None] = {
    "crm.item": None,
    **{f"crm.{entity.table}": entity for entity in (LEAD, DEAL, CONTACT, COMPANY)},
}
METHODS: dict[str, Callable[[Call], MethodResult]] = {
    f"{family}.details.configuration.{verb}": partial(method, entity)
    for family, entity in _FAMILIES.items()
    for verb, method in _VERBS.items()
}
