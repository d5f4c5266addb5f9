"""The items of a user field of type list.

Documentation: crm/leads/userfield/crm-lead-userfield-update.md#uf_enum_element.
"""

from typing import Any

from emulator.entities.multifields import positive_int
from emulator.entities.setup.userfields import UserField, generated_xml_id
from emulator.errors import RestError
from emulator.methods.call import Call

_LIST_KEYS = ("SORT", "VALUE", "DEF", "XML_ID")


def flag(value: Any, default: str) -> str:
    """A client's boolean as Y or N; E, I and S, which SHOW_FILTER may also be, stay."""
    if value is None:
        return default
    if value in ("E", "I", "S"):
        return str(value)
    return "Y" if value in (True, 1, "1", "Y", "y") else "N"


def _sent_items(value: Any) -> list[dict[str, Any]]:
    """The objects in a list that a client sent; PHP's lists may arrive as an object."""
    if isinstance(value, dict):
        value = list(value.values())
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]


def new_list(call: Call, value: Any, *, is_multiple: bool) -> list[dict[str, str]]:
    """The items of a new list field; items without a value are left out."""
    return _combined_list(
        call,
        [],
        [item for item in _sent_items(value) if item.get("VALUE")],
        is_multiple=is_multiple,
    )


def changed_list(call: Call, field: UserField, value: Any) -> list[dict[str, str]]:
    """The changed items: those with an ID change, those with DEL are deleted, others are added."""
    old = {item["ID"]: dict(item) for item in field.definition["LIST"]}
    new = []
    for sent in _sent_items(value):
        item = old.get(str(sent.get("ID", "")))
        if item is None:
            new += [sent] if sent.get("VALUE") else []
        elif sent.get("DEL") in ("Y", True):
            del old[item["ID"]]
        else:
            item.update({key: str(sent[key]) for key in _LIST_KEYS if key in sent})
    return _combined_list(
        call, list(old.values()), new, is_multiple=field.definition["MULTIPLE"] == "Y"
    )


def _combined_list(
    call: Call, old: list[dict[str, str]], new: list[dict[str, Any]], *, is_multiple: bool
) -> list[dict[str, str]]:
    """The old and new items, sorted; at most one is the default, or several if `is_multiple`."""
    item_id = call.portal.schemas.next_item_id()
    items = list(old)
    for sent in new:
        items.append(
            {
                "ID": str(item_id),
                "SORT": str(positive_int(sent.get("SORT")) or 0),
                "VALUE": str(sent["VALUE"]),
                "DEF": flag(sent.get("DEF"), "N"),
                "XML_ID": str(sent.get("XML_ID") or generated_xml_id(str(sent["VALUE"]), item_id)),
            }
        )
        item_id += 2  # two apart, as on real portals
    _require_unique(items)
    defaults = [item for item in items if item["DEF"] == "Y"]
    for item in [] if is_multiple else defaults[1:]:
        item["DEF"] = "N"
    return sorted(items, key=lambda item: int(item["SORT"] or 0))


def _require_unique(items: list[dict[str, str]]) -> None:
    codes: set[str] = set()
    for item in items:
        if item["XML_ID"] in codes:
            text = f"List item with XML_ID={item['XML_ID']} already exists."
            raise RestError("ERROR_CORE", text)
        codes.add(item["XML_ID"])
