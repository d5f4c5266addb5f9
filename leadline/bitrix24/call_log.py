"""The stored copy of a command and its answer, for operators, without data of other people.

Users share lookups, and an answer may contain another person's lead, or fields of the lead that we
never wrote. Neither is stored. The size of a copy is bounded.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from leadline.bitrix24.client import CommandResult
from leadline.bitrix24.command import Command
from leadline.bitrix24.leads import LIST
from leadline.errors import BitrixError
from leadline.messages.contract import readable

#: Maximum size of the JSON of a call, in bytes. If it is longer, or the answer has an unexpected
#: form, only the beginning of the answer is stored, as a text of MAX_EXCERPT characters.
MAX_CALL = 2000
MAX_EXCERPT = 500
#: Maximum characters of an error's text.
MAX_ERROR = 300
#: Maximum leads stored of a lookup.
MAX_LEADS = 3

#: The fields stored of another person's lead: they show why it is not this user's.
_FOREIGN_FIELDS = ("ID", "ORIGINATOR_ID", "ORIGIN_ID")


def to_json(
    command: Command,
    result: CommandResult,
    user_id: int,
    lead_id: int | None,
    request: Mapping[str, Any],
) -> orjson.Fragment:
    """The JSON of a command for this user and of its answer.

    `lead_id`: the user's lead, if it is known. `request`: facts of the request that carried the
    command.
    """
    call = {**request, "method": command.method, "params": _params(command, user_id, lead_id)}
    if isinstance(result, BitrixError):
        text = readable(result.detail, MAX_ERROR)
        call["error"] = {"kind": type(result).__name__, "code": result.code, "text": text}
    elif command.method == LIST:
        # The text "None", for an unknown lead, is no lead's id.
        call["answer"] = _own_leads(result, str(user_id), str(lead_id))
    else:
        call["answer"] = _written_fields(command, result)
    content = _dumps(call)
    if content is None or len(content) > MAX_CALL:
        content = orjson.dumps({**call, "answer": _excerpt(result)})
    return orjson.Fragment(content)


def _params(command: Command, user_id: int, lead_id: int | None) -> object:
    """The parameters; those of a lookup without the ids of other users."""
    if command.method != LIST:
        return command.params
    lookup_filter = dict(command.params["filter"])
    if "@ORIGIN_ID" in lookup_filter:
        lookup_filter["@ORIGIN_ID"] = [str(user_id)]
    if "@ID" in lookup_filter:
        lookup_filter["@ID"] = [lead_id]
    return {"filter": lookup_filter}


def _own_leads(answer: object, user_id: str, lead_id: str) -> object:
    """The user's leads among those that a lookup found.

    The lead `lead_id` is among them also if it belongs to another user, without that person's data.
    """
    if not isinstance(answer, list):
        return _excerpt(answer)
    rows = [row for row in answer if isinstance(row, dict)]
    own_rows = [row for row in rows if row.get("ORIGIN_ID") == user_id]
    foreign_rows = [
        {name: row.get(name) for name in _FOREIGN_FIELDS}
        for row in rows
        if str(row.get("ID")) == lead_id and row.get("ORIGIN_ID") != user_id
    ]
    return [*own_rows, *foreign_rows][:MAX_LEADS]


def _written_fields(command: Command, answer: object) -> object:
    """The id of the lead that was written, and the fields that the command wrote."""
    item = answer.get("item") if isinstance(answer, dict) else None
    if not isinstance(item, dict):
        return _excerpt(answer)
    names = ("id", *command.params.get("fields", ()))
    return {"item": {name: item[name] for name in names if name in item}}


def _excerpt(answer: object) -> object:
    """The beginning of an answer that is long, or has another form than expected."""
    if isinstance(answer, bool):
        return answer
    if answer is None or isinstance(answer, BitrixError):  # an error has its own key
        return None
    text = _dumps(answer)
    return "…" if text is None else readable(text.decode(), MAX_EXCERPT)


def _dumps(value: object) -> bytes | None:
    """JSON; None if it is nested too deeply."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return None
