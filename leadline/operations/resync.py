"""Have users' leads looked at and written once more, whatever became of them before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leadline.ledger import resync
from leadline.ledger.resync import ResyncRequest
from leadline.users import snapshots
from leadline.users.snapshots import UserSnapshot

PART = 500


@dataclass(frozen=True, slots=True)
class Part:
    """Some of those who failed."""

    #: How many were asked for again; the others had been written or asked for meanwhile.
    asked: int
    #: The last one's id: the next part goes on after it.
    up_to: int


def once_more(user_ids: Sequence[int]) -> tuple[int, list[int], list[int]]:
    """Ask for these; how many were asked for, who waits already, and who does not exist.

    Raises:
        DatabaseDown: nobody can say what was entered; asking again is harmless.
    """
    found = snapshots.by_ids(user_ids)
    asked = _ask(list(found.values()))
    return len(asked), sorted(found.keys() - set(asked)), sorted(set(user_ids) - found.keys())


def everybody_who_failed(after: int = 0) -> Iterator[Part]:
    """Ask for those who failed, part by part, by id.

    Raises:
        DatabaseDown: nobody can say what was entered; asking again is harmless.
    """
    while part := snapshots.after(after, PART, only_failed=True):
        after = part[-1].id
        yield Part(len(_ask(part)), after)


def _ask(users: list[UserSnapshot]) -> list[int]:
    return resync.request(ResyncRequest(one.id, one.version) for one in users)
