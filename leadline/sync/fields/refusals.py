"""Finds the field of the map that made the portal refuse a whole lead.

The lead is written without it, and the field stays open; other fields and users are not affected.
Pure rules, no I/O.
"""

import re
from collections.abc import Mapping

from leadline.bitrix24.leads import ADD, UPDATE
from leadline.errors import BitrixError, LeadGone, Rejected
from leadline.mapping import targets
from leadline.mapping.current import field_map
from leadline.sync.decide import Plan, Write
from leadline.sync.fields.last_check import FieldCheck
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.settlement import AT_ONCE_MS, Settlement


def may_concern(entry: Entry, plan: Plan, result: object) -> bool:
    """Whether the portal may have refused this write because of a field of the map."""
    is_refused = isinstance(result, Rejected) and not isinstance(result, LeadGone)
    is_write = isinstance(plan, Write) and not entry.erased
    return is_refused and is_write and field_map() is not None


def settle(entry: Entry, plan: Plan, error: BitrixError, check: FieldCheck) -> Settlement | None:
    """Settle a write that was refused because of a field of the map: retry it without the field.

    `check`: the last check of the map. Returns None if no field is the cause: the error is then
    settled like any other.
    """
    written = _written_fields(plan) if may_concern(entry, plan, error) else set()
    refused = {name for name in written if _is_named(name, check.titles, error.detail)}
    if not refused:
        # Not every error names its field: one that does not fit is the likely cause.
        misfits = {misfit.lead for misfit in check.misfits}
        refused = {name for name in written if name.partition(":")[0] in misfits}
    if not refused:
        return None
    all_refused = ",".join(sorted(refused | (entry.state.refused if entry.state else set())))
    return Settlement(
        entry, {"refused": all_refused}, delay_ms=AT_ONCE_MS, refused_fields=tuple(sorted(refused))
    )


def _written_fields(plan: Plan) -> set[str]:
    """The columns and multi-fields that this command writes, as the map names them."""
    mapping = field_map()
    if mapping is None or not isinstance(plan, Write) or plan.command.method not in {ADD, UPDATE}:
        return set()
    fields = plan.command.params["fields"]
    # A create has a list of the rows of multi-fields; an update has them by row id.
    rows = fields.get("fm") or ()
    kinds = {
        f"{row['typeId']}:{row['valueType']}"
        for row in (rows.values() if isinstance(rows, dict) else rows)
    }
    names = {*mapping.by_target, *mapping.constants}
    multifields = {name for name in names if targets.is_multifield(name)}
    columns = {name for name in names - multifields if targets.item_name(name) in fields}
    return columns | (multifields & kinds)


def _is_named(name: str, titles: Mapping[str, str], text: str) -> bool:
    """Whether the error's text names this field: by its code, in either notation, or its title."""
    column = name.partition(":")[0]
    words = {column, targets.item_name(column), titles.get(column, "")} - {""}
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in words)
