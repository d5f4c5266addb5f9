"""The fields of a portal's leads, and the misfits: parts of the map that contradict them.

Parses crm.lead.fields (https://apidocs.bitrix24.com/api-reference/crm/leads/crm-lead-fields.html)
and the lists of crm.status.list.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from leadline.mapping.field_map import FieldMap
from leadline.mapping.targets import MULTIFIELDS
from leadline.mapping.user_field import FieldType, UserField

#: Fields that Leadline itself writes in every lead.
WRITTEN_BY_LEADLINE = frozenset({"TITLE", "PHONE", "STATUS_ID", "ORIGINATOR_ID", "ORIGIN_ID"})
#: Longer titles and lists are cut.
TITLE_MAX = 255
ITEMS_MAX = 500
#: How many people of the portal are checked: one page.
PEOPLE_MAX = 50
_PEOPLE_SCOPES = frozenset({"user", "user_brief", "user_basic"})
#: The map's types whose values a field for texts can hold.
_TEXTS: tuple[FieldType, ...] = ("text", "email", "phone", "number", "date", "one-of")
#: The map's types that fit each type of the portal, the best first.
_FITTING: dict[str, tuple[FieldType, ...]] = {
    "string": _TEXTS,
    "url": ("text",),
    "address": ("text",),
    "money": ("text",),
    "integer": ("number", "one-of"),
    "double": ("number", "one-of"),
    "boolean": ("bool",),
    "char": ("bool",),
    "date": ("date",),
    "datetime": ("date",),
    "enumeration": ("one-of",),
    "crm_status": ("one-of", "text"),
    "crm_currency": ("one-of", "text"),
    "crm_company": ("number", "one-of"),
    "crm_contact": ("number", "one-of"),
    "user": ("number", "one-of"),
    "employee": ("number", "one-of"),
    "iblock_element": ("number", "one-of"),
    "iblock_section": ("number", "one-of"),
    "crm": ("number", "text", "one-of"),
}


@dataclass(frozen=True, slots=True)
class PortalField:
    """A field of the portal's leads."""

    name: str
    #: The portal's own type: string, double, enumeration, crm_status, …
    type: str
    #: In the portal's language.
    title: str
    is_required: bool = False
    is_read_only: bool = False
    is_multiple: bool = False
    #: The list of crm.status.list that has its values.
    status_type: str = ""
    #: The names of its values by id; empty if it has no list.
    items: Mapping[str, str] = field(default_factory=dict)
    #: Ids that the map names for this field although no active user of the portal has them.
    unknown_people: frozenset[str] = frozenset()

    @property
    def fitting_types(self) -> tuple[FieldType, ...]:
        """The map's types that the field can hold, the best first; empty: a map can't fill it."""
        return () if self.is_read_only else _FITTING.get(self.type, ())


@dataclass(frozen=True, slots=True)
class Misfit:
    """Something in the map that the portal would refuse."""

    #: The name of the user's field, `constants`, or "" for a field that the map lacks.
    field: str
    #: The portal's field.
    lead: str
    problem: str


def parse(answer: Any, lists: Mapping[str, Mapping[str, str]]) -> dict[str, PortalField]:
    """Parse crm.lead.fields; `lists`: the values of crm.status.list by its ENTITY_ID.

    Leaves out what can't be read.
    """
    fields = {}
    for name, description in answer.items() if isinstance(answer, dict) else ():
        if isinstance(description, dict):
            status_type = str(description.get("statusType") or "")
            items = _items(description.get("items")) or dict(lists.get(status_type, {}))
            fields[str(name)] = PortalField(
                str(name),
                str(description.get("type", "")),
                _title(description, str(name)),
                is_required=description.get("isRequired") in (True, "Y"),
                is_read_only=description.get("isReadOnly") in (True, "Y"),
                is_multiple=description.get("isMultiple") in (True, "Y"),
                status_type=status_type,
                items=items,
            )
    return fields


def status_types(answer: Any) -> set[str]:
    """The lists of crm.status.list to which the portal's fields refer."""
    descriptions = answer.values() if isinstance(answer, dict) else ()
    types = {
        str(description.get("statusType") or "")
        for description in descriptions
        if isinstance(description, dict)
    }
    return types - {"", "STATUS"}  # STATUS: the stages, which no map fills


def parse_list(answer: Any) -> dict[str, str]:
    """Parse the values of crm.status.list: their names by id."""
    rows = _rows(answer)
    return {
        str(row["STATUS_ID"]): str(row.get("NAME") or "") for row in rows if row.get("STATUS_ID")
    }


def _items(answer: Any) -> dict[str, str]:
    rows = _rows(answer)[:ITEMS_MAX]
    return {str(row["ID"]): str(row.get("VALUE") or "") for row in rows if row.get("ID")}


def _rows(answer: Any) -> list[dict[str, Any]]:
    """The objects in an array; none if the answer is no array."""
    return [row for row in answer if isinstance(row, dict)] if isinstance(answer, list) else []


def _title(description: Mapping[str, Any], name: str) -> str:
    for key in ("formLabel", "listLabel", "title"):
        text = " ".join(str(description.get(key) or "").split())
        if text and text != name:
            return "".join(char for char in text if char.isprintable())[:TITLE_MAX]
    return name


def mapped_people(field_map: FieldMap, portal: Mapping[str, PortalField]) -> frozenset[str]:
    """The ids of people that the map names as constants, defaults and values of lists."""
    ids = {str(value) for name, value in field_map.constants.items() if _is_person(portal, name)}
    for user_field in field_map.fields.values():
        if _is_person(portal, user_field.lead):
            ids |= _mapped_ids(user_field)
    return frozenset(sorted(filter(str.isdecimal, ids))[:PEOPLE_MAX])


def _is_person(portal: Mapping[str, PortalField], name: str) -> bool:
    return name in portal and portal[name].type in {"user", "employee"}


def _mapped_ids(user_field: UserField) -> set[str]:
    """The ids that the map itself names for this field."""
    if user_field.values:
        return set(user_field.values.values())
    return set() if user_field.default is None else {str(user_field.default)}


def may_read_people(answer: Any) -> bool:
    """Whether a webhook with the scopes of this answer may read the portal's people."""
    scopes = answer if isinstance(answer, list) else []
    return not _PEOPLE_SCOPES.isdisjoint(map(str, scopes))


def active_people(answer: Any) -> set[str]:
    """Parse user.get: the ids of those who have not left."""
    rows = _rows(answer)
    return {str(row.get("ID")) for row in rows if row.get("ACTIVE") not in (False, "N", "false")}


def with_unknown_people(
    portal: Mapping[str, PortalField], ids: frozenset[str]
) -> dict[str, PortalField]:
    """The fields of the portal; those that hold people get these ids as `unknown_people`."""
    return {
        name: replace(portal_field, unknown_people=ids)
        if _is_person(portal, name)
        else portal_field
        for name, portal_field in portal.items()
    }


def misfits(field_map: FieldMap, portal: Mapping[str, PortalField]) -> list[Misfit]:
    """Parts of the map that the portal would refuse, and fields it requires that the map lacks."""
    found = [
        Misfit(name, user_field.lead, problem)
        for name, user_field in field_map.fields.items()
        for problem in _field_problems(user_field, portal.get(user_field.lead))
    ]
    found += [
        Misfit("constants", name, problem)
        for name, value in field_map.constants.items()
        for problem in _constant_problems(value, portal.get(name))
    ]
    covered = {
        *WRITTEN_BY_LEADLINE,
        *field_map.constants,
        *(user_field.lead for user_field in field_map.fields.values()),
    }
    if field_map.name_is_full_name:
        covered.add("NAME")
    found += [
        Misfit(
            "", name, f"the portal requires it ({portal_field.title}), and the map does not fill it"
        )
        for name, portal_field in portal.items()
        if portal_field.is_required and not portal_field.is_read_only and name not in covered
    ]
    return found


def _field_problems(user_field: UserField, portal_field: PortalField | None) -> Iterator[str]:
    yield from _target_problems(portal_field)
    if portal_field is None or user_field.lead in MULTIFIELDS:
        return
    if portal_field.fitting_types and user_field.type not in portal_field.fitting_types:
        types = ", ".join(portal_field.fitting_types)
        one_of = "one of " if "," in types else ""
        yield f"holds {portal_field.type} in the portal: type must be {one_of}{types}"
    else:
        yield from _list_problems(set((user_field.values or {}).values()), portal_field)
    yield from _people_problems(_mapped_ids(user_field), portal_field)
    if portal_field.is_required and not user_field.required and user_field.default is None:
        yield "is required by the portal: set `required = true`, or a default"


def _target_problems(portal_field: PortalField | None) -> Iterator[str]:
    if portal_field is None:
        yield "the portal has no such field"
    elif portal_field.is_read_only:
        yield "is read-only in the portal"
    elif portal_field.is_multiple and portal_field.name not in MULTIFIELDS:
        yield "holds several values in the portal, which a map can't fill"
    elif portal_field.name not in MULTIFIELDS and not portal_field.fitting_types:
        yield f"holds {portal_field.type} in the portal, which a map can't fill"


def _constant_problems(value: str | float, portal_field: PortalField | None) -> Iterator[str]:
    yield from _target_problems(portal_field)
    if portal_field is not None:
        yield from _list_problems({str(value)}, portal_field)
        yield from _people_problems({str(value)}, portal_field)


def _list_problems(ids: set[str], portal_field: PortalField) -> Iterator[str]:
    unknown = ids - portal_field.items.keys()
    if portal_field.items and unknown:
        entries = ", ".join(f"{key} ({text})" for key, text in portal_field.items.items())
        yield f"the portal's list has no {', '.join(sorted(unknown))}: one of {entries}"


def _people_problems(ids: set[str], portal_field: PortalField) -> Iterator[str]:
    if unknown := ids & portal_field.unknown_people:
        yield f"the portal has no active user {', '.join(sorted(unknown))}"
