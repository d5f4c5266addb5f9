"""crm.lead.userfield.* and the like: user fields.

Documentation: crm/leads/userfield/.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from emulator.entities.entity import ENTITIES, Entity
from emulator.entities.fields.kinds import USER_FIELD_TYPES
from emulator.entities.multifields import positive_int
from emulator.entities.setup.userfields import LABELS, LANGUAGES, SETTINGS, UserField
from emulator.errors import RestError, invalid_id
from emulator.methods.call import Call, MethodResult
from emulator.methods.filter_and_sort import matching, ordered
from emulator.methods.setup.userfield_lists import changed_list, flag, new_list

_NAME_MAX = 50
#: The fields of a definition that are Y or N, with their defaults.
_FLAGS = {
    "MULTIPLE": "N",
    "MANDATORY": "N",
    "SHOW_FILTER": "N",
    "SHOW_IN_LIST": "N",
    "EDIT_IN_LIST": "Y",
    "IS_SEARCHABLE": "N",
}
#: What an update cannot change.
_UNCHANGEABLE = {"FIELD_NAME", "USER_TYPE_ID", "MULTIPLE", "ENTITY_ID"}


def add(entity: Entity, call: Call) -> MethodResult:
    """crm.lead.userfield.add: the new field's id."""
    call.require_admin(code="", status=403)
    sent = call.require_fields()
    definition = new_definition(call, entity, sent)
    return MethodResult(call.portal.schemas.add(entity, definition))


def update(entity: Entity, call: Call) -> MethodResult:
    """crm.lead.userfield.update: true; settings not sent stay, labels are replaced."""
    call.require_admin(code="", status=403)
    change(call, _existing(entity, call), call.require_fields())
    return MethodResult(result=True)


def change(call: Call, field: UserField, sent: Mapping[str, Any]) -> None:
    """Change a field's definition as crm.lead.userfield.update does; raises RestError."""
    changes: dict[str, Any] = {
        name: flag(sent[name], default)
        for name, default in _FLAGS.items()
        if name in sent and name not in _UNCHANGEABLE
    }
    for name in LABELS:
        if name in sent:
            changes[name] = _labels(sent[name], default="")
    if "XML_ID" in sent:
        changes["XML_ID"] = sent["XML_ID"]
    if "SORT" in sent:
        changes["SORT"] = str(positive_int(sent["SORT"]) or 100)
    if isinstance(sent.get("SETTINGS"), dict):
        changes["SETTINGS"] = {**field.definition["SETTINGS"], **sent["SETTINGS"]}
    if "LIST" in sent and field.definition["USER_TYPE_ID"] == "enumeration":
        changes["LIST"] = changed_list(call, field, sent["LIST"])
    call.portal.schemas.change(field, {**field.definition, **changes})


def get(entity: Entity, call: Call) -> MethodResult:
    """crm.lead.userfield.get: the field, with its labels by language."""
    return MethodResult(_existing(entity, call).row())


def delete(entity: Entity, call: Call) -> MethodResult:
    """crm.lead.userfield.delete: true; the values in all objects are lost."""
    call.require_admin(code="", status=403)
    call.portal.schemas.delete(_existing(entity, call))
    return MethodResult(result=True)


def list_(entity: Entity, call: Call) -> MethodResult:
    """crm.lead.userfield.list: the fields; their labels as texts if the filter has LANG."""
    conditions, order = call.argument("filter"), call.argument("order")
    for name, sent in (("order", order), ("filter", conditions)):
        if sent not in (None, "", []) and not isinstance(sent, dict):
            raise RestError("", f"Parameter '{name}' must be array.")
    conditions = dict(conditions or {})
    language = conditions.pop("LANG", None)
    rows = [field.row() for field in call.portal.schemas.user_fields(entity)]
    rows = ordered(matching(rows, conditions), order or {"SORT": "ASC", "ID": "ASC"})
    return MethodResult([_in_language(row, language) for row in rows], total=len(rows))


def _existing(entity: Entity, call: Call) -> UserField:
    field_id = positive_int(call.argument("id"))
    if field_id is None:
        raise invalid_id()
    for field in call.portal.schemas.user_fields(entity):
        if field.id == field_id:
            return field
    raise RestError("ERROR_NOT_FOUND", f"The entity with ID '{field_id}' is not found.")


def new_definition(call: Call, entity: Entity, sent: Mapping[str, Any]) -> dict[str, Any]:
    """The definition of a new field; raises RestError."""
    name = _name(call, entity, sent)
    kind = sent.get("USER_TYPE_ID")
    if not isinstance(kind, str) or not kind:
        raise RestError("", "The 'USER_TYPE_ID' field is not found.")
    if kind not in USER_FIELD_TYPES:
        raise RestError("ERROR_CORE", "Invalid custom type specified.")
    sent_settings = sent.get("SETTINGS")
    flags = {name: flag(sent.get(name), default) for name, default in _FLAGS.items()}
    if kind == "boolean":
        flags["MULTIPLE"] = "N"
    label = sent.get("LABEL")
    definition = {
        "ENTITY_ID": entity.user_field_entity_id,
        "FIELD_NAME": name,
        "USER_TYPE_ID": kind,
        "XML_ID": sent.get("XML_ID"),
        "SORT": str(positive_int(sent.get("SORT")) or 100),
        **flags,
        "SETTINGS": {
            **SETTINGS.get(kind, {}),
            **(sent_settings if isinstance(sent_settings, dict) else {}),
        },
        **{name: _labels(sent.get(name), label) for name in LABELS},
    }
    if kind == "enumeration":
        definition["LIST"] = new_list(call, sent.get("LIST"), is_multiple=flags["MULTIPLE"] == "Y")
    return definition


def _name(call: Call, entity: Entity, sent: Mapping[str, Any]) -> str:
    """The full name of a new field; raises RestError if it is invalid or in use."""
    name = sent.get("FIELD_NAME")
    if not isinstance(name, str) or not name.strip():
        raise RestError("", "The 'FIELD_NAME' field is not found.")
    name = name.strip().upper()
    if not name.startswith("UF_CRM_"):
        name = "UF_CRM_" + name.removeprefix("UF_")
    if len(name) > _NAME_MAX:
        raise RestError("ERROR_CORE", "Field name is too long (more than 50 characters).")
    if not re.fullmatch(r"[A-Z0-9_]+", name):
        text = "Field name contains invalid characters. Allowed characters are: A-Z, 0-9 and _."
        raise RestError("ERROR_CORE", text)
    if any(field.name == name for field in call.portal.schemas.user_fields(entity)):
        text = f"The field {name} for the entity {entity.user_field_entity_id} already exists."
        raise RestError("ERROR_CORE", text)
    return name


def _labels(value: Any, default: Any) -> dict[str, str]:
    """A label by language, from a sent text or texts by language."""
    if isinstance(value, dict):
        return {language: str(value.get(language, default or "")) for language in LANGUAGES}
    text = value if value not in (None, "") else default
    return dict.fromkeys(LANGUAGES, str(text or ""))


def _in_language(row: dict[str, Any], language: Any) -> dict[str, Any]:
    """A row with each label as a text in this language; without labels if there is no language."""
    localized = {name: value for name, value in row.items() if name not in LABELS}
    if language is not None:
        localized |= {name: row[name].get(str(language)) or None for name in LABELS}
    if "LIST" in row:  # follows the labels, as in the documentation's example
        localized["LIST"] = localized.pop("LIST")
    return localized


_VERBS: dict[str, Callable[[Entity, Call], MethodResult]] = {
    "add": add,
    "update": update,
    "get": get,
    "list": list_,
    "delete": delete,
}
METHODS: dict[str, Callable[[Call], MethodResult]] = {
    **{
        f"crm.{entity.table}.userfield.{verb}": partial(method, entity)
        for entity in ENTITIES
        for verb, method in _VERBS.items()
    },
}
