"""Reads the fields of the portal's leads, with their lists, to compare the map with them."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from leadline.bitrix24 import leads
from leadline.bitrix24.command import Command
from leadline.errors import PortalDown, Rejected
from leadline.mapping import portal_fields
from leadline.mapping.field_map import FieldMap
from leadline.mapping.portal_fields import PortalField

log = structlog.get_logger()

#: Sends these commands and returns their results by the same names.
Call = Callable[[dict[str, Command]], Mapping[str, Any]]


def read(call: Call, mapping: FieldMap | None = None) -> dict[str, PortalField]:
    """The fields by name; with a map also which people that it names the portal lacks.

    Raises:
        BitrixError: as `call`.
    """
    described: Any = call({"fields": leads.FIELDS})["fields"]
    types = portal_fields.status_types(described)
    lists = (
        call({status_type: leads.list_values(status_type) for status_type in types})
        if types
        else {}
    )
    portal = portal_fields.parse(
        described,
        {status_type: portal_fields.parse_list(answer) for status_type, answer in lists.items()},
    )
    named = portal_fields.named_people(mapping, portal) if mapping else frozenset()
    return portal_fields.without_people(portal, _unknown(call, named)) if named else portal


def _unknown(call: Call, named: frozenset[str]) -> frozenset[str]:
    """Those of these people that the portal lacks; empty if the webhook may not read them."""
    try:
        # Without the scope, the call itself would be rejected.
        if not portal_fields.may_read_people(call({"scope": leads.SCOPE})["scope"]):
            return frozenset()
        answer = call({"people": leads.people(sorted(named))})["people"]
    except (Rejected, PortalDown) as error:
        log.warning("people of the field map not checked", reason=type(error).__name__)
        return frozenset()
    return named - portal_fields.active_people(answer)
