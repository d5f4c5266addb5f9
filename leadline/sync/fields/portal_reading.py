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
    """The fields by name; with a map, also which of its people the portal lacks.

    Raises:
        BitrixError: as `call`.
    """
    descriptions: Any = call({"fields": leads.FIELDS})["fields"]
    types = portal_fields.status_types(descriptions)
    lists = (
        call({status_type: leads.list_values(status_type) for status_type in types})
        if types
        else {}
    )
    portal = portal_fields.parse(
        descriptions,
        {status_type: portal_fields.parse_list(answer) for status_type, answer in lists.items()},
    )
    people = portal_fields.mapped_people(mapping, portal) if mapping else frozenset()
    return portal_fields.with_unknown_people(portal, _unknown(call, people)) if people else portal


def _unknown(call: Call, people: frozenset[str]) -> frozenset[str]:
    """The people that the portal lacks; empty if the webhook may not read people."""
    try:
        # Without the scope, the call itself would be rejected.
        if not portal_fields.may_read_people(call({"scope": leads.SCOPE})["scope"]):
            return frozenset()
        answer = call({"people": leads.find_people(sorted(people))})["people"]
    except (Rejected, PortalDown) as error:
        log.warning("people of the field map not checked", reason=type(error).__name__)
        return frozenset()
    return people - portal_fields.active_people(answer)
