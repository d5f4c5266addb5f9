"""crm.requisite.preset.field.*: the fields that a template of requisites shows.

Documentation: crm/requisites/presets/.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from emulator.entities.multifields import positive_int
from emulator.entities.records import Record
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.families.family import Family
from emulator.methods.families.requisites import PRESET, REQUISITE_COLUMNS

_COUNTRIES = (
    *((1, "RU", "Russia"), (4, "BY", "Belarus"), (6, "KZ", "Kazakhstan"), (14, "UA", "Ukraine")),
    *((34, "BR", "Brazil"), (46, "DE", "Germany"), (77, "CO", "Colombia"), (110, "PL", "Poland")),
    *((122, "US", "United States"), (132, "FR", "France")),
)
_PRESET_FIELD = Family(
    "crm.requisite.preset.field",
    "PresetField",
    {
        "ID": ("integer", "o", "ID"),
        "FIELD_NAME": ("string", "r", "Name"),
        "FIELD_TITLE": ("string", "", "Title in the template"),
        "IN_SHORT_LIST": ("char", "", "In the short list"),
        "SORT": ("integer", "", "Sorting"),
    },
)


def _fields_of(call: Call) -> Family:
    """The fields of the template that a call names, as a family of their own."""
    sent = call.argument("preset")
    preset = positive_int(sent.get("ID")) if isinstance(sent, dict) else None
    PRESET.by_id(call, preset or 0)
    return replace(_PRESET_FIELD, name=f"{_PRESET_FIELD.name}.{preset}")


def field_add(call: Call) -> MethodResult:
    """crm.requisite.preset.field.add: the field's id within its template."""
    family = _fields_of(call)
    sent = call.require_fields()
    name = str(sent.get("FIELD_NAME") or "")[:100]
    if name not in _available(call, family):
        raise RestError("", f"The field '{name}' can not be added.")
    record = {"FIELD_TITLE": "", "IN_SHORT_LIST": "N", "SORT": "500"}
    record |= family.stored_record(sent, is_new=True)
    return MethodResult(call.portal.records.add(family.name, record))


def field_update(call: Call) -> MethodResult:
    """crm.requisite.preset.field.update: true."""
    return _fields_of(call).update(call)


def field_get(call: Call) -> MethodResult:
    """crm.requisite.preset.field.get: a field, with its numbers as JSON numbers."""
    return MethodResult(_field_row(*_fields_of(call).existing(call)))


def field_list(call: Call) -> MethodResult:
    """crm.requisite.preset.field.list: the fields of a template."""
    family = _fields_of(call)
    records = call.portal.records.all(family.name)
    return MethodResult([_field_row(number, record) for number, record in records.items()])


def field_delete(call: Call) -> MethodResult:
    """crm.requisite.preset.field.delete: true."""
    return _fields_of(call).delete(call)


def available(call: Call) -> MethodResult:
    """crm.requisite.preset.field.availabletoadd: the fields that can be added."""
    return MethodResult(_available(call, _fields_of(call)))


def countries(_: Call) -> MethodResult:
    """crm.requisite.preset.countries: the countries for which a template can be made."""
    return MethodResult(
        [{"ID": number, "CODE": code, "TITLE": title} for number, code, title in _COUNTRIES]
    )


def _available(call: Call, family: Family) -> list[str]:
    used_names = {row["FIELD_NAME"] for row in call.portal.records.all(family.name).values()}
    return [name for name in REQUISITE_COLUMNS if name not in used_names]


def _field_row(number: int, record: Record) -> dict[str, Any]:
    texts = {name: record.get(name) for name in ("FIELD_NAME", "FIELD_TITLE", "IN_SHORT_LIST")}
    return {"ID": number, **texts, "SORT": positive_int(record.get("SORT")) or 0}


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.requisite.preset.countries": countries,
    "crm.requisite.preset.field.add": field_add,
    "crm.requisite.preset.field.update": field_update,
    "crm.requisite.preset.field.get": field_get,
    "crm.requisite.preset.field.list": field_list,
    "crm.requisite.preset.field.delete": field_delete,
    "crm.requisite.preset.field.fields": _PRESET_FIELD.fields,
    "crm.requisite.preset.field.availabletoadd": available,
}
