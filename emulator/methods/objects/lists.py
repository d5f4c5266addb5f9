"""Lists of objects in both APIs: filter, order, pages of 50, with or without counting."""

from collections.abc import Callable
from functools import partial
from typing import Any

from emulator.entities.entity import ENTITIES, Entity
from emulator.entities.fields.field import MULTIFIELDS
from emulator.entities.filters import FieldNames
from emulator.entities.query import PAGE, parse_query, selected_names
from emulator.entities.schema import Schema
from emulator.entities.store import Item
from emulator.entities.views import fm_rows, item_row, multifields, upper_row
from emulator.methods.call import Call, MethodResult
from emulator.methods.objects.items import entity_of


def object_list(entity: Entity, call: Call) -> MethodResult:
    """crm.lead.list and the like; `*` selects all fields but multifields and user fields.

    `UF_*` selects the user fields; ID is always included (crm/leads/crm-lead-list.md).
    """
    selection = selected_names(call.params)
    schema = call.portal.schemas[entity]
    names = FieldNames(schema, ignores_iso_dates=call.portal.settings.date_filter == "not_iso")
    with_rows = bool(selection & {*MULTIFIELDS, "HAS_PHONE", "HAS_EMAIL", "HAS_IMOL", "*"})
    items, total, following = _page(call, names, with_rows=with_rows)
    columns = [name for name in schema.upper_template if _is_selected(name, selection, schema)]
    types = MULTIFIELDS.keys() & selection
    rows = [_selected_upper_row(schema, item, columns, types) for item in items]
    return MethodResult(rows, total, following)


def _is_selected(name: str, selection: set[str], schema: Schema) -> bool:
    every = "UF_*" if name in schema.user_fields else "*"
    return name == "ID" or name in selection or every in selection


def item_list(call: Call) -> MethodResult:
    """crm.item.list: objects in camel case; `*` includes `fm`, which cannot be selected alone."""
    schema = call.portal.schemas[entity_of(call)]
    selection = selected_names(call.params)
    ignores_iso_dates = call.portal.settings.date_filter == "not_iso"
    names = FieldNames(schema, is_item_method=True, ignores_iso_dates=ignores_iso_dates)
    items, total, following = _page(call, names)
    rows = [_selected_item_row(schema, item, selection, call) for item in items]
    return MethodResult({"items": rows}, total, following)


def _page(
    call: Call, names: FieldNames, *, with_rows: bool = True
) -> tuple[list[Item], int, int | None]:
    """The objects of a page, the number of all that are found, and the start of the next page."""
    query = parse_query(call.params, names)
    store = call.portal.store
    entity = names.schema.entity
    if call.read_access != "all":
        call.restrict_to_readable(query.where)
    items = store.find(entity, query.page_clause, query.where.values, with_rows=with_rows)
    if query.start is None:
        return items, 0, None
    total = store.count(entity, query.where.sql, query.where.values)
    following = query.start + PAGE
    return items, total, following if following < total else None


def _selected_upper_row(
    schema: Schema, item: Item, names: list[str], types: set[str]
) -> dict[str, Any]:
    """An object as crm.lead.list returns it, with these fields and multifields."""
    values = upper_row(schema, item)
    row = {name: values[name] for name in names}
    if types:
        rows = multifields(item)
        row.update({name: rows[name] for name in rows if name in types})
    return row


def _selected_item_row(
    schema: Schema, item: Item, selection: set[str], call: Call
) -> dict[str, Any]:
    """An object as crm.item.list returns it, with the selected fields."""
    row = item_row(schema, item, original_names=call.keeps_original_names)
    if "*" in selection:
        return {**row, "fm": fm_rows(item)} if schema.entity.has_multifields else row
    names = {
        schema.searchable[name].camel if name in schema.searchable else name for name in selection
    }
    if call.keeps_original_names:
        names |= selection
    return {name: value for name, value in row.items() if name == "id" or name in names}


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    **{f"crm.{entity.table}.list": partial(object_list, entity) for entity in ENTITIES},
    "crm.item.list": item_list,
}
