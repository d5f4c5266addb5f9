"""Finds the field of the map because of which the portal refused a whole lead.

The lead is written without it, and the field stays open; other fields and users are not affected.
"""

import contextlib
import re
from collections.abc import Mapping

import structlog

from leadline.bitrix24.leads import ADD, UPDATE
from leadline.errors import BitrixError, LeadGone, QueueError, Rejected
from leadline.mapping import targets
from leadline.mapping.current import field_map
from leadline.process import per_process
from leadline.runtime.once_per_interval import Interval
from leadline.sync.decide import Plan, Write
from leadline.sync.fields import last_check
from leadline.sync.fields.last_check import FieldCheck
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.settlement import Settlement

log = structlog.get_logger()

#: How soon the lead is written again, without the refused field.
_AT_ONCE_MS = 1
#: How often a process reads the last check.
_READ_EVERY_S = 60.0


class _LastCheck:
    """The last check of the map, as last read: titles of fields, and which do not fit."""

    def __init__(self) -> None:
        self._reads = Interval(_READ_EVERY_S)
        self._check: FieldCheck | None = None

    def current(self) -> FieldCheck:
        if self._check is None or self._reads.claim():
            with contextlib.suppress(QueueError):
                self._check = last_check.load()
        return self._check or _NO_CHECK


_NO_CHECK = FieldCheck(0, "")


@per_process
def _last_check() -> _LastCheck:
    return _LastCheck()


def settle(entry: Entry, plan: Plan, error: BitrixError) -> Settlement | None:
    """Settle a refused write of which a field of the map is the cause: again without the field.

    None if no field is, so that the error counts as any other.
    """
    if field_map() is None or not isinstance(plan, Write) or entry.erased:
        return None
    if not isinstance(error, Rejected) or isinstance(error, LeadGone):
        return None
    sent = _sent(plan)
    check = _last_check().current() if sent else _NO_CHECK
    refused = {name for name in sent if _is_named(name, check.titles, error.detail)}
    if not refused:
        # Not every error names its field: one that does not fit is the likely cause.
        misfits = {misfit.lead for misfit in check.misfits}
        refused = {name for name in sent if name.partition(":")[0] in misfits}
    _request_check()
    if not refused:
        return None
    log.warning("field refused, written without it", fields=sorted(refused), code=error.code)
    known = ",".join(sorted(refused | (entry.state.refused if entry.state else set())))
    return Settlement(entry, {"refused": known}, delay_ms=_AT_ONCE_MS)


def _sent(plan: Write) -> set[str]:
    """The columns and multi-fields of the map that this command writes, by their map's names."""
    mapping = field_map()
    if mapping is None or plan.command.method not in {ADD, UPDATE}:
        return set()
    fields = plan.command.params["fields"]
    rows = fields.get("fm") or ()
    kinds = {
        f"{row['typeId']}:{row['valueType']}"
        for row in (rows.values() if isinstance(rows, dict) else rows)
    }
    names = {*mapping.by_target, *mapping.constants}
    return {
        name
        for name in names
        if (name in kinds if targets.is_multifield(name) else targets.item_name(name) in fields)
    }


def _is_named(name: str, titles: Mapping[str, str], text: str) -> bool:
    """Whether the error's text names this field: by its code, in either notation, or its title."""
    column = name.partition(":")[0]
    words = {column, targets.item_name(column), titles.get(column, "")} - {""}
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in words)


def _request_check() -> None:
    try:
        last_check.request()
    except QueueError:
        log.warning("field map check not requested: Redis can't be reached")
