"""The steps of bulk jobs: each handles a bounded number of users or dead letters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leadline.operations.resync_users import BATCH, resync_batch, resync_users
from leadline.users import failures

#: Dead letters that a step replays or discards at most.
LETTERS = 200
#: Dead letters that are counted before a job; more are shown as they are handled.
COUNTED = 2000


@dataclass(frozen=True, slots=True)
class Step:
    """What a step has done, and where the next one begins."""

    #: Users or dead letters handled; those of them that were resynced, replayed or discarded.
    done: int
    changed: int
    cursor: int
    is_last: bool


def count(kind: str, selection: Mapping[str, Any]) -> int:
    """How many users or dead letters are selected.

    Raises:
        DatabaseDown, BrokerDown: a server can't be reached.
        InvalidRequest: an unknown queue.
    """
    if chosen := selection.get("user_ids") or selection.get("ids"):
        return len(chosen)
    if kind == "resync":
        return failures.count(selection.get("reason_id"))
    from leadline.operations import dead_letters  # noqa: PLC0415 - the relay needs no AMQP for users' jobs

    return len(dead_letters.collect(_letters(selection), lambda _: None, COUNTED))


def run(kind: str, selection: Mapping[str, Any], cursor: int) -> Step:
    """One step from here.

    Raises:
        DatabaseDown, BrokerDown: a server can't be reached; the step may be repeated.
    """
    if kind != "resync":
        return _dead_letters(kind, selection, cursor)
    if chosen := selection.get("user_ids"):
        part = chosen[cursor : cursor + BATCH]
        changed, _, _ = resync_users(part)
        cursor += len(part)
        return Step(len(part), changed, cursor, is_last=cursor >= len(chosen))
    batch = resync_batch(cursor, selection.get("reason_id"))
    if batch is None:
        return Step(0, 0, cursor, is_last=True)
    return Step(batch.users, batch.requested, batch.last_id, is_last=batch.users < BATCH)


def _dead_letters(kind: str, selection: Mapping[str, Any], cursor: int) -> Step:
    from leadline.connector.dead_letters import Decision  # noqa: PLC0415 - see `count`
    from leadline.operations import dead_letters  # noqa: PLC0415 - see `count`

    number, _ = dead_letters.apply(_letters(selection), Decision(kind), at_most=LETTERS)
    return Step(number, number, cursor + number, is_last=number < LETTERS)


def _letters(selection: Mapping[str, Any]) -> Any:
    from leadline.operations.dead_letters import Selection  # noqa: PLC0415 - see `count`

    ids = frozenset(selection.get("ids", ()))
    return Selection(ids, selection.get("queue", ""), selection.get("reason", ""))
