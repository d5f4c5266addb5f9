"""P1: acknowledged writes are in the ledger, once, in one order, and settled."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.checker.history import FIELDS, ClientWrite, History, LedgerEvent, Violation
from tests.checker.matching import maximum_matching
from tests.checker.reading import (
    acknowledged_writes,
    by_version,
    distinct,
    events_of_users,
    fork_that_lost,
    is_lost,
)

#: Longer reasons may be cut.
_LONG = 200


def acknowledged_writes_are_kept(history: History) -> Iterator[Violation]:
    """Every acknowledged version is in the ledger as it was answered.

    Excused are versions that a declared fork of Postgres lost after the answer.
    """
    rows = by_version(history)
    for write in acknowledged_writes(history):
        if is_lost(write, history):
            continue
        row = rows.get((write.user, write.version))
        if row is None:
            yield _violation("kept", f"lost: {write}", write.user)
        elif row.state != write.answered:
            yield _violation("kept", f"stored otherwise: {write}, {row}", write.user)


def every_version_ends(history: History) -> Iterator[Violation]:
    """In the end no event is open, and a user's newest one is not superseded by anything.

    The newest has failed only if the portal was made to reject it. A user's status is the outcome
    of its newest version.
    """
    for user, events in events_of_users(history).items():
        for event in events:
            if event.outcome == "open":
                yield _violation("ends", f"never ended: {event}", user)
        newest = events[-1]
        if newest.outcome == "superseded":
            yield _violation("ends", f"superseded by nothing newer: {newest}", user)
        if newest.outcome == "failed" and not _is_rejection(newest.reason or "", history):
            yield _violation("ends", f"failed for a transient reason: {newest}", user)
    rows = by_version(history)
    for user, row in history.users.items():
        end = rows.get((user, row.version))
        if end is not None and row.sync_status != end.outcome:
            yield _violation("ends", f"is {row.sync_status}, its last version {end.outcome}", user)


def _is_rejection(reason: str, history: History) -> bool:
    """Whether the portal was made to answer this; of a long text the beginning suffices."""
    return any(
        reason == rejection or (len(rejection) > _LONG and reason[:_LONG] == rejection[:_LONG])
        for rejection in history.injected.rejections
    )


def nothing_is_stored_unasked(history: History) -> Iterator[Violation]:
    """Each event of a client is an acknowledged write, or an unanswered one.

    So a refused write is not stored, and none is stored twice.
    """
    answered = {(write.user, write.version) for write in acknowledged_writes(history)}
    unexplained = [
        event
        for event in history.events
        if event.changed and (event.user, event.version) not in answered
    ]
    promised = {write.key for write in acknowledged_writes(history) if not is_lost(write, history)}
    unsure = distinct(
        write
        for write in history.writes
        if write.is_unsure and (write.key is None or write.key not in promised)
    )
    explained = maximum_matching(unexplained, unsure, _may_be)
    for event in unexplained:
        if event not in explained:
            yield _violation("unasked", f"no write explains {event}", event.user)


def _may_be(event: LedgerEvent, write: ClientWrite) -> bool:
    """Whether this unanswered write may be this event."""
    is_create = event.action == "create_card"
    return (
        write.action == event.action
        and (is_create or (write.user == event.user and set(write.changes) == event.changed))
        and all(getattr(event.state, name) == value for name, value in write.changes.items())
        and write.if_match in {None, event.version - 1}
    )


def repeats_are_answered_alike(history: History) -> Iterator[Violation]:
    """Under one idempotency key every success shows the same user in the same version.

    Excused is a repeat after a fork that lost the first.
    """
    by_key: dict[str, list[ClientWrite]] = defaultdict(list)
    for write in acknowledged_writes(history):
        if write.key and not is_lost(write, history):
            by_key[write.key].append(write)
    for key, writes in by_key.items():
        answers = {(write.user, write.version, write.answered) for write in writes}
        if len(answers) > 1:
            yield _violation("repeats", f"key {key} was answered {answers}", writes[0].user)


def conditional_writes_form_a_chain(history: History) -> Iterator[Violation]:
    """A write accepted with If-Match v has version v + 1, and no version was answered twice.

    A version may be answered again only for the same write under its key, or after a fork that lost
    it. A 412 is true: the expected version is not the last.
    """
    writes_by_version: dict[tuple[int, int, int], list[ClientWrite]] = defaultdict(list)
    for write in distinct(acknowledged_writes(history)):
        if write.if_match is not None and write.version != write.if_match + 1:
            yield _violation("chain", f"another version passed: {write}", write.user)
        if write.user is not None and write.version is not None:
            writes_by_version[write.user, write.version, fork_that_lost(write, history)].append(
                write
            )
    for (user, version, _), writes in writes_by_version.items():
        if len(writes) > 1:
            yield _violation("chain", f"version {version} was answered to {writes}", user)
    for write in history.writes:
        last = history.users.get(write.user) if write.user is not None else None
        is_last = last is not None and last.version == write.if_match
        if write.status == 412 and is_last and not history.injected.forks:
            yield _violation("chain", f"412 for the last version: {write}", write.user)


def each_version_is_the_one_before_with_its_changes(history: History) -> Iterator[Violation]:
    """A user's versions have no gap, and each differs from the previous one in its changes only.

    A fork may leave a gap. The user's row is its last event.
    """
    answered = {
        (write.user, write.version): write
        for write in acknowledged_writes(history)
        if not is_lost(write, history)
    }
    for user, events in events_of_users(history).items():
        yield from _gaps(user, events, is_forked=bool(history.injected.forks))
        for before, event in zip((None, *events), events, strict=False):
            write = answered.get((user, event.version))
            if write and any(
                getattr(event.state, key) != change for key, change in write.changes.items()
            ):
                yield _violation("changes", f"{event} is not what was asked: {write}", user)
            if write and event.action != "create_card" and set(write.changes) != event.changed:
                yield _violation("changes", f"{event} changes not what was asked: {write}", user)
            if before and not _follows(before, event):
                yield _violation(
                    "changes", f"{event} changes more than it says, after {before}", user
                )
        row = history.users.get(user)
        if row is None or (row.version, row.state) != (events[-1].version, events[-1].state):
            yield _violation("changes", f"the user is {row}, its last event {events[-1]}", user)


def _gaps(user: int, events: Sequence[LedgerEvent], *, is_forked: bool) -> Iterator[Violation]:
    versions = [event.version for event in events]
    if not is_forked and versions != list(range(1, len(versions) + 1)):
        yield _violation("changes", f"versions with gaps: {versions}", user)


def _follows(before: LedgerEvent, event: LedgerEvent) -> bool:
    unchanged = set(FIELDS) - event.changed
    return all(getattr(before.state, name) == getattr(event.state, name) for name in unchanged)


def ids_are_not_reissued(history: History) -> Iterator[Violation]:
    """No two creates were answered with the same user, also across forks.

    Otherwise a new person would get the lead of a lost one.
    """
    created: dict[int, list[ClientWrite]] = defaultdict(list)
    for write in distinct(acknowledged_writes(history)):
        if write.action == "create_card" and write.user is not None:
            created[write.user].append(write)
    for user, writes in created.items():
        if len(writes) > 1:
            yield _violation("ids", f"given to {writes}", user)


def no_fork_goes_unnoticed(history: History) -> Iterator[Violation]:
    """After a declared fork the number of Postgres' history is greater than before.

    A user's events never come from an older history than an earlier version.
    """
    for fork in history.injected.forks:
        if history.history_number is None or history.history_number <= (fork.history_before or 0):
            yield _violation("forks", f"history {history.history_number} after {fork}")
    for user, events in events_of_users(history).items():
        numbers = [event.history or 0 for event in events]
        if numbers != sorted(numbers):
            yield _violation("forks", f"histories of its versions: {numbers}", user)


def _violation(rule: str, what: str, user: int | None = None) -> Violation:
    return Violation(rule, "P1", what, user)


RULES = (
    acknowledged_writes_are_kept,
    every_version_ends,
    nothing_is_stored_unasked,
    repeats_are_answered_alike,
    conditional_writes_form_a_chain,
    each_version_is_the_one_before_with_its_changes,
    ids_are_not_reissued,
    no_fork_goes_unnoticed,
)
