"""The calls to Bitrix24 for a user, with their answers; by default, values are masked.

A call has `at_ms`, `ms` (duration of the whole request), `status` (HTTP), `method`, `params`, and
`answer` or `error`. A masked call shows the fields of request and answer, not their values.
"""

from typing import Any

from leadline.ledger import recent_events
from leadline.messages.attempt_log import AttemptLog, Call

MASK = "•••"
#: Fields whose values are no personal data: ids, origins, stages, kinds.
_UNMASKED = frozenset(
    {"id", "entitytypeid", "typeid", "valuetype", "type_id", "value_type"}
    | {"stageid", "status_id", "originid", "originatorid", "origin_id", "originator_id"}
)
#: Deeper values are masked as a whole.
_MAX_DEPTH = 8


def by_event(user_id: int, pending: dict[str, AttemptLog]) -> dict[str, list[Call]]:
    """The calls for a user's last events, by event id.

    `pending`: the attempt logs of pending events, by event id; those of settled ones are stored.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    unsettled = {event_id: list(log.calls) for event_id, log in pending.items() if log.calls}
    return recent_events.last_calls(user_id) | unsettled


def masked(call: Call) -> Call:
    """A call without the values that may be personal data."""
    return {
        **{name: call.get(name) for name in ("at_ms", "ms", "status", "method")},
        **{name: _masked(call[name]) for name in ("params", "answer") if name in call},
        **({"error": _without_text(call["error"])} if "error" in call else {}),
    }


def _without_text(error: Any) -> dict[str, Any]:
    """The error's kind and code: its text may quote the person."""
    fields = error if isinstance(error, dict) else {}
    return {name: fields.get(name) for name in ("kind", "code")}


def _masked(value: Any, name: str = "", depth: int = 0) -> Any:
    if depth == _MAX_DEPTH:
        return MASK
    if isinstance(value, dict):
        return {key: _masked(item, str(key), depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, name, depth + 1) for item in value]
    # The name of a filter begins with its operator.
    is_public = name.lstrip("=@>").lower() in _UNMASKED or not isinstance(value, str)
    return value if is_public else MASK
