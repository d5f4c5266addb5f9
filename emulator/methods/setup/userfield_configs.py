"""userfieldconfig.*: user fields of all types of objects, including smart processes, in camel case.

Documentation: crm/universal/userfieldconfig/.
"""

from collections.abc import Callable, Mapping
from typing import Any

from emulator.entities.entity import Entity
from emulator.entities.fields.field import camel_name, upper_name
from emulator.entities.fields.kinds import USER_FIELD_TYPES
from emulator.entities.multifields import positive_int
from emulator.entities.query import argument, first_row
from emulator.entities.setup.userfields import LABELS, UserField
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.in_memory_lists import page, select_as_item_list
from emulator.methods.setup.userfields import change, new_definition
from emulator.users import ADMIN

#: The languages of the portal, in which every label is returned.
_LANGUAGES = ("en", "de")
_FIELD_NAMES = (
    *("ID", "ENTITY_ID", "FIELD_NAME", "USER_TYPE_ID", "XML_ID", "SORT", "MULTIPLE"),
    *("MANDATORY", "SHOW_FILTER", "SHOW_IN_LIST", "EDIT_IN_LIST", "IS_SEARCHABLE", "SETTINGS"),
)
_CAMEL_NAMES = tuple(camel_name(name) for name in _FIELD_NAMES)


def add(call: Call) -> MethodResult:
    """userfieldconfig.add: the new field."""
    sent = _require_field(call)
    call.require_admin("Access denied", code="")
    entity = _entity(call, sent)
    if entity is None:
        raise RestError("", "You cannot create custom fields")
    definition = new_definition(call, entity, {"SHOW_IN_LIST": "Y", **_with_upper_names(sent)})
    field_id = call.portal.schemas.add(entity, definition)
    field = next(field for field in call.portal.schemas.user_fields(entity) if field.id == field_id)
    return MethodResult({"field": _full_row(field)})


def update(call: Call) -> MethodResult:
    """userfieldconfig.update: the changed field."""
    field = _existing(call, "You cannot change the settings of the user field", writes=True)
    change(call, field, _with_upper_names(_require_field(call)))
    changed = _existing(call, denial="")  # it exists, so no error is raised
    return MethodResult({"field": _full_row(changed)})


def get(call: Call) -> MethodResult:
    """userfieldconfig.get: a field by its id."""
    denial = "You do not have permission to view user field settings"
    return MethodResult({"field": _full_row(_existing(call, denial))})


def delete(call: Call) -> MethodResult:
    """userfieldconfig.delete: null."""
    field = _existing(call, "You cannot delete the user field", writes=True)
    call.portal.schemas.delete(field)
    return MethodResult(None)


def list_(call: Call) -> MethodResult:
    """userfieldconfig.list: the fields that a filter finds; labels in the language of `select`."""
    _require_module(call)
    select = call.argument("select")
    language = argument(select, "language") if isinstance(select, dict) else None
    found = select_as_item_list(
        [_row_without_labels(field) for field in _all(call)], call, _CAMEL_NAMES
    )
    page_rows, total, following = page(found, first_row(call.params))
    if language:
        by_id = {str(field.id): field for field in _all(call)}
        page_rows = [{**row, **_labels(by_id[row["id"]], str(language))} for row in page_rows]
    return MethodResult({"fields": page_rows}, total, following)


def types(call: Call) -> MethodResult:
    """userfieldconfig.getTypes: the types that a field may have."""
    _require_module(call)
    types = {
        name: {"userTypeId": name, "description": title} for name, title in USER_FIELD_TYPES.items()
    }
    return MethodResult({"types": types})


def _require_module(call: Call) -> None:
    sent = call.argument("moduleId")
    if sent is None:
        raise RestError("100", "Could not find value for parameter {moduleId}")
    if sent != "crm":
        raise RestError("", "No settings for UserFieldAccess")


def _require_field(call: Call) -> Mapping[str, Any]:
    _require_module(call)
    sent = call.argument("field")
    if sent is None:
        raise RestError("100", "Could not find value for parameter {field}")
    return sent if isinstance(sent, dict) else {}


def _entity(call: Call, sent: Mapping[str, Any]) -> Entity | None:
    code = sent.get("entityId")
    return next(
        (entity for entity in call.portal.types.all() if entity.user_field_entity_id == code), None
    )


def _all(call: Call) -> list[UserField]:
    schemas = call.portal.schemas
    fields = [field for entity in call.portal.types.all() for field in schemas.user_fields(entity)]
    return sorted(fields, key=lambda field: field.id)


def _existing(call: Call, denial: str, *, writes: bool = False) -> UserField:
    """The field that `id` names; raises the same RestError if it is missing or must not change."""
    _require_module(call)
    if call.argument("id") is None:
        raise RestError("100", "Could not find value for parameter {id}")
    field_id = positive_int(call.argument("id"))
    found = next((field for field in _all(call) if field.id == field_id), None)
    if found is None or (writes and call.user != ADMIN):
        raise RestError("", denial)
    return found


def _with_upper_names(sent: Mapping[str, Any]) -> dict[str, Any]:
    """A client's definition with the names of crm.lead.userfield.add."""
    found = {upper_name(str(name)): value for name, value in sent.items()}
    items = found.pop("ENUM", None)
    if isinstance(items, list | dict):
        rows = items.values() if isinstance(items, dict) else items
        found["LIST"] = [
            {upper_name(str(name)): value for name, value in row.items()}
            for row in rows
            if isinstance(row, dict)
        ]
    return found


def _row_without_labels(field: UserField) -> dict[str, Any]:
    row = field.row()
    return {camel_name(name): row[name] for name in _FIELD_NAMES}


def _labels(field: UserField, language: str) -> dict[str, Any]:
    labels: dict[str, Any] = {"languageId": {language: language}}
    for name in LABELS:
        text = (field.definition.get(name) or {}).get(language)
        labels[camel_name(name)] = {language: text} if text else None
    return labels


def _full_row(field: UserField) -> dict[str, Any]:
    """A field as userfieldconfig.get returns it, with all labels and the items of a list."""
    own_languages = {
        language
        for name in LABELS
        for language, text in (field.definition.get(name) or {}).items()
        if text
    }
    languages = [*_LANGUAGES, *sorted(own_languages.difference(_LANGUAGES))]
    labels = {
        camel_name(name): {
            language: (field.definition.get(name) or {}).get(language) or None
            for language in languages
        }
        for name in LABELS
    }
    config = {
        **_row_without_labels(field),
        "languageId": {language: language for language in languages},
        **labels,
    }
    if "LIST" in field.definition:
        config["enum"] = [
            {
                "id": item["ID"],
                "userFieldId": str(field.id),
                "value": item["VALUE"],
                "def": item["DEF"],
                "sort": item["SORT"],
                "xmlId": item["XML_ID"],
            }
            for item in field.definition["LIST"]
        ]
    return config


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "userfieldconfig.add": add,
    "userfieldconfig.update": update,
    "userfieldconfig.get": get,
    "userfieldconfig.delete": delete,
    "userfieldconfig.list": list_,
    "userfieldconfig.gettypes": types,
}
