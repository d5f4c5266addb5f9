"""The steps of bulk jobs: each handles a bounded number of users or dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from leadline.operations.diagnosis import failed_users
from leadline.operations.diagnosis.failed_users import FailedFilter
from leadline.operations.resync_users import BATCH, resync_users

if TYPE_CHECKING:
    from leadline.operations import dead_letters

Kind = Literal["resync", "replay", "discard"]

#: Maximum number of dead letters that a step replays or discards.
LETTERS_MAX = 200
#: Maximum number of dead letters that are counted before a job begins.
COUNT_MAX = 2000


class Selection(BaseModel):
    """The users or dead letters of a job; without any field, all failed users or all dead letters.

    It is stored, so it has no text of a reason, which may quote a person.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    user_ids: tuple[int, ...] = ()
    #: Failed users of these groups (`users.failures`).
    reason_ids: tuple[str, ...] = ()
    #: Users that failed at this time or later.
    since: datetime | None = None
    #: Dead letters by id, or by queue and reason (`DeadLetter.reason_id`).
    ids: tuple[str, ...] = ()
    queue: str = ""
    reason_id: str = ""

    @property
    def chosen(self) -> tuple[object, ...]:
        """The ids of users or dead letters, if the selection lists ids."""
        return self.user_ids or self.ids

    @property
    def failed(self) -> FailedFilter:
        """The failed users of a job that is about users and lists none by id."""
        return FailedFilter(self.since, reason_ids=self.reason_ids)

    @property
    def letters(self) -> "dead_letters.Selection":
        """The dead letters of a job that is about those."""
        from leadline.operations import dead_letters  # noqa: PLC0415 - users' jobs need no AMQP

        return dead_letters.Selection(frozenset(self.ids), self.queue, reason_id=self.reason_id)


@dataclass(frozen=True, slots=True)
class Step:
    """The result of a step, and where the next one begins."""

    #: Number of users or dead letters handled.
    done: int
    #: How many of them were resynced, replayed or discarded.
    changed: int
    #: Where the next step begins: the number of ids or dead letters handled, or the last user's id.
    cursor: int
    is_last: bool


def count(kind: Kind, selection: Selection) -> int:
    """How many users or dead letters are selected.

    Raises:
        DatabaseDown, BrokerDown: a server can't be reached.
        InvalidRequest: an unknown queue.
    """
    if selection.chosen:
        return len(selection.chosen)
    if kind == "resync":
        return failed_users.count(selection.failed)
    from leadline.operations import dead_letters  # noqa: PLC0415 - users' jobs need no AMQP

    return len(dead_letters.collect(selection.letters, lambda _: None, COUNT_MAX))


def run(kind: Kind, selection: Selection, cursor: int, total: int) -> Step:
    """Run one step from this cursor; `total` as counted when the job began.

    Raises:
        DatabaseDown, BrokerDown: a server can't be reached; the step may be repeated.
    """
    if kind != "resync":
        return _handle_dead_letters(kind, selection, cursor, total)
    if user_ids := selection.user_ids:
        part = user_ids[cursor : cursor + BATCH]
        cursor += len(part)
        return Step(
            done=len(part), changed=_resync(part), cursor=cursor, is_last=cursor >= len(user_ids)
        )
    ids = failed_users.ids(selection.failed, BATCH, cursor)
    last_id = ids[-1] if ids else 0
    return Step(done=len(ids), changed=_resync(ids), cursor=last_id, is_last=len(ids) < BATCH)


def _resync(user_ids: Sequence[int]) -> int:
    """Resync these users; returns how many did not wait already."""
    return resync_users(user_ids)[0] if user_ids else 0


def _handle_dead_letters(kind: Kind, selection: Selection, cursor: int, total: int) -> Step:
    from leadline.connector.dead_letters import Decision  # noqa: PLC0415 - users' jobs need no AMQP
    from leadline.operations import dead_letters  # noqa: PLC0415 - users' jobs need no AMQP

    # At least 1: look for dead letters beyond those that were counted, too.
    remaining = max(1, total - cursor)
    number, _ = dead_letters.apply(
        selection.letters, Decision(kind), at_most=LETTERS_MAX, at_least=min(remaining, LETTERS_MAX)
    )
    # More dead letters than were counted may be selected by now: only a step that is not full ends.
    is_last = number == 0 or (number < LETTERS_MAX and number >= remaining)
    return Step(done=number, changed=number, cursor=cursor + number, is_last=is_last)
