"""Drafts a map from the fields of a portal: a commented file, to be edited."""

import re
from collections.abc import Iterable, Iterator, Mapping

from leadline.mapping.field_map import FIELDS_MAX, RESERVED
from leadline.mapping.portal_fields import WRITTEN_BY_LEADLINE, PortalField
from leadline.mapping.targets import COLUMNS, MULTIFIELDS, is_user_field

_HEAD = """\
# The field map of Leadline: which further fields users have, and where each lives in the lead.
# Written from the fields of the portal; remove what you don't need, and the `#` of what you do.
# docs/mapping.md explains every key. Check the file with: leadline mapping check
"""
#: Active in the draft also where the portal does not require them: nearly everybody needs them.
_COMMON = frozenset({"EMAIL"})
#: Maximum characters of a name without its number: a name may have 40.
_BASE_MAX = 38
#: Maximum number of a list's values that are written; the operator adds others.
_LIST_VALUES_MAX = 50


def text(portal: Mapping[str, PortalField]) -> str:
    """The text of the file: what the portal requires is active, all the rest is commented out."""
    names = set(RESERVED)
    parts = [_HEAD]
    active = 0
    for portal_field in _usable_in_order(portal.values()):
        is_active = (
            portal_field.is_required or portal_field.name in _COMMON
        ) and active < FIELDS_MAX
        active += is_active
        lines = list(_lines(portal_field, _claim_name(portal_field, names)))
        parts.append("\n".join(line if is_active else _commented(line) for line in lines))
    parts.append(
        "# Columns that every new lead gets:\n"
        "# [constants]\n# ASSIGNED_BY_ID = 1   # the responsible person's id in the portal\n"
    )
    return "\n".join(parts)


def _usable_in_order(fields: Iterable[PortalField]) -> list[PortalField]:
    """The fields that a map can fill: required ones first, then common ones; user fields last."""
    # False sorts first.
    return sorted(
        filter(_is_usable, fields),
        key=lambda field: (
            not field.is_required,
            field.name not in _COMMON,
            is_user_field(field.name),
        ),
    )


def _is_usable(field: PortalField) -> bool:
    # NAME holds the full name, unless the operator decides otherwise.
    if field.name in WRITTEN_BY_LEADLINE or field.name == "NAME":
        return False
    if field.name in MULTIFIELDS:
        return True
    is_writable = field.name in COLUMNS or is_user_field(field.name)
    return is_writable and bool(field.fitting_types) and not field.is_multiple


def _claim_name(field: PortalField, names: set[str]) -> str:
    """A name for the user's field, from the portal's, that is not among `names`; adds it there."""
    bare = re.sub(r"^UF_(?:CRM_)?", "", field.name).removesuffix("_ID").lower()
    base = re.sub(r"[^a-z0-9_]", "_", bare)[:_BASE_MAX]
    if not base[:1].isalpha():
        base = f"field_{base}"[:_BASE_MAX]
    name, number = base, 1
    while name in names:
        name = f"{base}_" if number == 1 else f"{base}{number}"
        number += 1
    names.add(name)
    return name


def _lines(field: PortalField, name: str) -> Iterator[str]:
    yield f"# {field.title}: {field.type}{', required by the portal' if field.is_required else ''}"
    yield f"[fields.{name}]"
    map_type = _map_type(field)
    yield f'type = "{map_type}"'
    yield f'lead = "{field.name}"'
    if field.name in MULTIFIELDS:
        yield 'value_type = "WORK"'
    if field.is_required:
        yield "required = true"
    if map_type == "one-of":
        yield "# The user's value = the id of the entry in the portal's list"
        yield f"[fields.{name}.values]"
        for key, label in list(field.items.items())[:_LIST_VALUES_MAX]:
            yield f"{_quoted(label or key)} = {_quoted(key)}"
    yield ""


def _map_type(field: PortalField) -> str:
    """The type that the map gives this field."""
    if field.name in MULTIFIELDS:
        return {"EMAIL": "email", "PHONE": "phone"}.get(field.name, "text")
    types = [type_ for type_ in field.fitting_types if type_ != "one-of" or field.items]
    return types[0] if types else "text"


def _commented(line: str) -> str:
    return f"# {line}" if line else line


def _quoted(text_: str) -> str:
    safe = "".join(char for char in text_ if char.isprintable())
    escaped = safe.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
