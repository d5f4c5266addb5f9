"""crm.userfield.*: the types and settings that a user field may have.

Documentation: crm/universal/user-defined-fields/.
"""

from typing import Any

from emulator.entities.fields.kinds import USER_FIELD_TYPES
from emulator.entities.setup.userfields import SETTINGS
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult


def types(_: Call) -> MethodResult:
    """crm.userfield.types: the types that a field may have."""
    return MethodResult([{"ID": name, "title": title} for name, title in USER_FIELD_TYPES.items()])


def definition_fields(_: Call) -> MethodResult:
    """crm.userfield.fields: the fields of a definition."""
    return MethodResult(_DEFINITION)


def list_item_fields(_: Call) -> MethodResult:
    """crm.userfield.enumeration.fields: the fields of a list item."""
    return MethodResult(_LIST_ITEM)


def settings_fields(call: Call) -> MethodResult:
    """crm.userfield.settings.fields: the settings of a type."""
    kind = call.argument("type")
    if not isinstance(kind, str) or not kind:
        raise RestError("", "Parameter 'type' is not specified or empty.")
    settings = {
        name: {"type": _setting_type(kind, name, value), "title": name}
        for name, value in SETTINGS.get(kind, {}).items()
        if name in _DOCUMENTED_SETTINGS
    }
    return MethodResult(settings)


def _setting_type(kind: str, name: str, value: Any) -> str:
    if name == "DEFAULT_VALUE":
        return {"integer": "int", "boolean": "int", "date": "object", "datetime": "object"}.get(
            kind, kind
        )
    return "int" if isinstance(value, int) else "string"


_DOCUMENTED_SETTINGS = {
    *("DEFAULT_VALUE", "ROWS", "PRECISION", "DISPLAY", "LIST_HEIGHT", "ENTITY_TYPE"),
    *("IBLOCK_TYPE_ID", "IBLOCK_ID", "ACTIVE_FILTER", "LEAD", "CONTACT", "COMPANY", "DEAL"),
}
_TITLES = {
    "ID": ("int", "ID"),
    "ENTITY_ID": ("string", "Object"),
    "FIELD_NAME": ("string", "Code"),
    "USER_TYPE_ID": ("string", "Type"),
    "XML_ID": ("string", "External code"),
    "SORT": ("int", "Sorting"),
    "MULTIPLE": ("char", "Multiple"),
    "MANDATORY": ("char", "Mandatory"),
    "SHOW_FILTER": ("char", "In the list's filter"),
    "SHOW_IN_LIST": ("char", "In the list"),
    "EDIT_IN_LIST": ("char", "People may edit it"),
    "IS_SEARCHABLE": ("char", "Searchable"),
    "EDIT_FORM_LABEL": ("string", "Label in the form"),
    "LIST_COLUMN_LABEL": ("string", "Label in the list"),
    "LIST_FILTER_LABEL": ("string", "Label in the filter"),
    "ERROR_MESSAGE": ("string", "Error message"),
    "HELP_MESSAGE": ("string", "Help"),
    "LIST": ("uf_enum_element", "List items"),
    "SETTINGS": ("object", "Settings of the type"),
}
_EXTRA: dict[str, dict[str, bool]] = {
    "ID": {"isReadOnly": True},
    "ENTITY_ID": {"isImmutable": True},
    "FIELD_NAME": {"isImmutable": True},
    "USER_TYPE_ID": {"isImmutable": True},
    "LIST": {"isMultiple": True},
}
_DEFINITION = {
    name: {"type": kind, "title": title, **_EXTRA.get(name, {})}
    for name, (kind, title) in _TITLES.items()
}
_LIST_ITEM = {
    "ID": {"type": "int", "title": "ID", "isReadOnly": True},
    "SORT": {"type": "int", "title": "Sorting"},
    "VALUE": {"type": "string", "title": "Value"},
    "DEF": {"type": "string", "title": "Default"},
    "DEL": {"type": "string", "title": "Delete it"},
}
METHODS = {
    "crm.userfield.types": types,
    "crm.userfield.fields": definition_fields,
    "crm.userfield.enumeration.fields": list_item_fields,
    "crm.userfield.settings.fields": settings_fields,
}
