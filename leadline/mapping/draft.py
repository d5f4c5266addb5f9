"""Drafts a map from the fields of a portal: a commented file, to be edited."""

import re
from collections.abc import Iterable, Iterator, Mapping

from leadline.mapping.field_map import FIELDS_MAX, RESERVED
from leadline.mapping.portal_fields import OWN, PortalField
from leadline.mapping.targets import COLUMNS, MULTIFIELDS, is_user_field

_HEAD = """\
# The field map of Leadline: which further fields users have, and where each lives in the lead.
# Written from the fields of the portal; remove what you don't need, and the `#` of what you do.
# docs/mapping.md explains every key. Check the file with: leadline mapping check
"""
#: Active in the draft: what nearly every portal wants.
_USUAL = frozenset({"EMAIL"})
#: Values of a list that are shown; others are left to the operator.
_VALUES_SHOWN = 50


def text(portal: Mapping[str, PortalField]) -> str:
    """The file. What the portal requires is active; all the rest is commented out."""
    names = set(RESERVED)
    parts = [_HEAD]
    active = 0
    for one in _in_order(portal.values()):
        is_active = (one.is_required or one.name in _USUAL) and active < FIELDS_MAX
        active += is_active
        lines = list(_lines(one, _name(one, names)))
        parts.append("\n".join(line if is_active else _commented(line) for line in lines))
    parts.append(
        "# Columns that every new lead gets, whatever its user:\n"
        "# [constants]\n# ASSIGNED_BY_ID = 1   # the responsible person's id in the portal\n"
    )
    return "\n".join(parts)


def _in_order(fields: Iterable[PortalField]) -> list[PortalField]:
    usable = [
        one
        for one in fields
        if one.name not in OWN
        and (one.name in MULTIFIELDS or (one.fitting and not one.is_multiple))
        and (one.name in COLUMNS or one.name in MULTIFIELDS or is_user_field(one.name))
        and one.name != "NAME"
    ]
    return sorted(
        usable,
        key=lambda one: (not one.is_required, one.name not in _USUAL, is_user_field(one.name)),
    )


def _name(one: PortalField, names: set[str]) -> str:
    """A name for the user's field, from the portal's."""
    bare = re.sub(r"^UF_(?:CRM_)?", "", one.name).removesuffix("_ID").lower()
    name = re.sub(r"[^a-z0-9_]", "_", bare)[:38]
    if not name[:1].isalpha():
        name = f"field_{name}"[:38]
    while name in names:
        name = f"{name}_"
    names.add(name)
    return name


def _lines(one: PortalField, name: str) -> Iterator[str]:
    yield f"# {one.title}: {one.type}{', required by the portal' if one.is_required else ''}"
    yield f"[fields.{name}]"
    kind = _kind(one)
    yield f'type = "{kind}"'
    yield f'lead = "{one.name}"'
    if one.name in MULTIFIELDS:
        yield 'value_type = "WORK"'
    if one.is_required:
        yield "required = true"
    if kind == "one-of":
        yield "# The user's value = the id of the entry in the portal's list"
        yield f"[fields.{name}.values]"
        for key, label in list(one.items.items())[:_VALUES_SHOWN]:
            yield f"{_quoted(label or key)} = {_quoted(key)}"
    yield ""


def _kind(one: PortalField) -> str:
    if one.name in MULTIFIELDS:
        return {"EMAIL": "email", "PHONE": "phone"}.get(one.name, "text")
    fitting = [kind for kind in one.fitting if kind != "one-of" or one.items]
    return fitting[0] if fitting else "text"


def _commented(line: str) -> str:
    return f"# {line}" if line else line


def _quoted(text_: str) -> str:
    safe = "".join(char for char in text_ if char.isprintable())
    escaped = safe.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
