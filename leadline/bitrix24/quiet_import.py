"""Quiet imports create up to `LEADS_MAX` leads in one command, and start no robots.

Not every subscription and webhook allows them: a refusal is stored in Redis for an hour.
https://apidocs.bitrix24.com/api-reference/crm/universal/import/crm-item-batch-import.html
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import redis

from leadline.bitrix24 import errors
from leadline.bitrix24.command import Command
from leadline.errors import OutcomeUnknown
from leadline.runtime.redis import reachable

METHOD = "crm.item.batchImport"
#: Leads in a command.
LEADS_MAX = 20
#: After how long an import is tried again: rights and subscriptions change.
REFUSED_FOR_S = 3600


def import_all(creates: Sequence[Command]) -> Command:
    """Create the leads of these commands, `LEADS_MAX` at most; the answer has their ids only."""
    data = [create.params["fields"] for create in creates]
    common = {name: value for name, value in creates[0].params.items() if name != "fields"}
    return Command(METHOD, {**common, "data": data})


def parse(answer: Any, position: int) -> dict[str, Any]:
    """The answer for the lead at this position, in the form that `parse_written` expects.

    Raises:
        BitrixError: the portal rejects this lead.
        OutcomeUnknown: the answer lacks this lead.
    """
    items = answer.get("items") if isinstance(answer, dict) else None
    item = items[position] if isinstance(items, list) and position < len(items) else None
    if not isinstance(item, dict):
        raise OutcomeUnknown("the answer names no lead")
    if "error" in item:
        raise errors.classify(HTTPStatus.BAD_REQUEST, item["error"], item.get("error_description"))
    return item


class QuietImport:
    """The last refusal, shared by all workers through Redis."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._key = f"{prefix}no_import"

    @reachable()
    def is_refused(self) -> bool:
        """Whether the portal has refused an import within the last hour."""
        return self._redis.get(self._key) is not None

    @reachable()
    def record_refusal(self) -> bool:
        """Record a refusal; returns whether it is the first of its hour."""
        return bool(self._redis.set(self._key, 1, nx=True, ex=REFUSED_FOR_S))
