"""P5: three attempts, two and four seconds apart, one for a permanent error.

An attempt is a request that carried a command for an event and was not refused, whether it was
executed, failed or got lost. Where the harness does not know the events of commands, a user's
attempts are judged together, and keep the rules if any possible count of attempts does.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from tests.checker.history import Command, History, PortalRequest, Violation, Window

MAX_ATTEMPTS = 3
#: Minimum waits after the first and after the second failed attempt.
WAITS_S = {1: 2.0, 2: 4.0}
#: Clocks are read a moment after the event that they time.
_TOLERANCE_S = 0.02

#: How an attempt looked to its sender. `maybe`: executed, and the answer may have been lost.
_Seen = Literal["done", "maybe", "failed", "final"]


@dataclass(frozen=True)
class _Attempt:
    at: float
    seen: _Seen
    is_lookup: bool
    #: Whether `at` is the time of sending, not of arrival.
    is_exact: bool


def attempts_keep_their_distance(history: History) -> Iterator[Violation]:
    """After an event's first failed attempt two seconds pass, after the second four.

    Excused where Redis lost data in between or the count may be lost, and where only arrivals are
    known and the network was disturbed.
    """
    replied: dict[str, list[float]] = defaultdict(list)
    for reply in history.replies:
        replied[reply.event_id].append(reply.at)
    for event, attempts in _by_event(history).items():
        for moment in _too_early(attempts, history, replied[event]):
            yield _violation("distance", f"{event} at {moment}: {attempts}")
    for user, attempts in _by_user(history).items():
        for moment in _too_early(attempts, history):
            yield _violation("distance", f"at {moment}: {attempts}", user)


def _too_early(
    attempts: list[_Attempt], history: History, replied: list[float] | None = None
) -> Iterator[float]:
    """The times of attempts that came too early after the previous one.

    `replied`: when the event was answered, after which another delivery begins; None: the attempts
    are of a user, whose events are not known.
    """
    #: How many attempts the current delivery may have had so far.
    counts = {0}
    for attempt, following in itertools.pairwise(attempts):
        between = (attempt.at, following.at)
        counts, wait_s = _count_attempt(attempt, counts, may_join=replied is None)
        moments = (*(replied or ()), *history.injected.redis_losses)
        if _contains_any(between, moments):
            counts = {0}
        elif _overlap(between, history.injected.losses):
            # The loss may have swallowed the count of this attempt, or of all.
            counts |= {max(0, count - 1) for count in counts} | {0}
        elif following.at - attempt.at < wait_s - _TOLERANCE_S:
            is_exact = attempt.is_exact and following.is_exact
            if is_exact or not _overlap(between, history.injected.blurs):
                yield following.at


def _count_attempt(
    attempt: _Attempt, counts: set[int], *, may_join: bool
) -> tuple[set[int], float]:
    """The possible numbers of attempts after this one, and the minimum time to the next.

    `may_join`: the attempts are a user's, whose further events may have arrived meanwhile.
    """
    spent = {count + 1 for count in counts}
    wait_s = min(WAITS_S.get(count, 0.0) for count in spent)
    if MAX_ATTEMPTS in spent:
        # The next attempt belongs to another delivery, or to another event, which may have
        # been there before.
        spent = (spent - {MAX_ATTEMPTS}) | ({0, 1, 2} if may_join else {0})
    if attempt.seen == "failed":
        return spent, wait_s
    # A lookup is followed by a write at once; it may also have shown that nothing has to be done.
    allowed_counts = counts if attempt.is_lookup else {0}
    lost = spent if attempt.seen == "maybe" else set()
    return allowed_counts | lost | ({0} if may_join else set()), 0.0


def refusals_cost_no_attempt(history: History) -> Iterator[Violation]:
    """A reply counts only failed attempts, and the last one if it ended the event.

    An event ends with a success, or with the result of an answered lookup. Refused
    requests do not count.
    """
    by_event, by_user = _by_event(history), _by_user(history)
    for reply in history.replies:
        if reply.event_id in history.injected.replayed:
            continue
        attempts = by_event.get(reply.event_id)
        if attempts is None:
            if history.injected.blurs or not history.requests:
                continue  # requests that never arrived are unknown
            attempts = by_user.get(reply.user, [])
        failed = sum(attempt.seen != "done" for attempt in attempts)
        is_ended_by_lookup = not reply.is_transient and bool(attempts) and attempts[-1].is_lookup
        last = 1 if reply.status == "success" or is_ended_by_lookup else 0
        if reply.attempts > failed + last:
            yield _violation("refusals", f"{failed} attempts failed, but {reply}", reply.user)


def three_attempts_are_made(history: History) -> Iterator[Violation]:
    """An event has at most three attempts per delivery, and not fewer before it fails for now.

    One more is possible for each loss, which may have swallowed a count, and three more for each
    time that Redis lost data, and with them every count.
    """
    for event in history.events:
        if event.attempts > MAX_ATTEMPTS:
            yield _violation("three", f"{event.attempts} attempts: {event}", event.user)
    for reply in history.replies:
        is_early = reply.is_transient and reply.attempts < MAX_ATTEMPTS
        if is_early and reply.event_id not in history.injected.replayed:
            yield _violation("three", f"gave up too early: {reply}", reply.user)
    if not history.is_broker_complete:
        return
    sent = Counter(publication.event_id for publication in history.publications)
    uncounted = len(history.injected.losses) + MAX_ATTEMPTS * len(history.injected.redis_losses)
    for event_id, attempts in _by_event(history).items():
        failed = [attempt for attempt in attempts if attempt.seen in {"failed", "final"}]
        if len(failed) > MAX_ATTEMPTS * max(1, sent[event_id]) + uncounted:
            yield _violation("three", f"{event_id}, sent {sent[event_id]} times: {attempts}")


def a_permanent_error_is_tried_once(history: History) -> Iterator[Violation]:
    """After the portal rejected a command for good, its event is not tried again.

    Excused are republished events, and losses, which make the rejection forgotten.
    """
    if not history.is_broker_complete or history.injected.losses or history.injected.redis_losses:
        return
    sent = Counter(publication.event_id for publication in history.publications)
    for event_id, attempts in _by_event(history).items():
        if sent[event_id] < 2 and any(attempt.seen == "final" for attempt in attempts[:-1]):
            yield _violation("once", f"{event_id} was tried again: {attempts}")


def _by_event(history: History) -> dict[str, list[_Attempt]]:
    """Attempts of each event, where the harness knows them."""
    found: dict[str, list[_Attempt]] = defaultdict(list)
    for request in _in_order(history):
        commands: dict[str, list[Command]] = defaultdict(list)
        for command in request.commands:
            for event in command.events:
                commands[event].append(command)
        for event, event_commands in commands.items():
            if (attempt := _attempt(request, event_commands)) is not None:
                found[event].append(attempt)
    return found


def _by_user(history: History) -> dict[int, list[_Attempt]]:
    """Attempts of each user, of commands without a known event."""
    found: dict[int, list[_Attempt]] = defaultdict(list)
    for request in _in_order(history):
        commands: dict[int, list[Command]] = defaultdict(list)
        for command in request.commands:
            if command.events:
                continue
            for user in command.users:
                commands[user].append(command)
        for user, user_commands in commands.items():
            if (attempt := _attempt(request, user_commands)) is not None:
                found[user].append(attempt)
    return found


def _in_order(history: History) -> list[PortalRequest]:
    return sorted(history.requests, key=_moment)


def _moment(request: PortalRequest) -> float:
    """When it was sent; when it arrived, if only that is known."""
    return request.at if request.sent_at is None else request.sent_at


def _attempt(request: PortalRequest, commands: list[Command]) -> _Attempt | None:
    """The commands of one event or user in one request; None where they were refused."""
    results = {command.result for command in commands}
    if request.fate == "refused" or results == {"refused"}:
        return None
    return _Attempt(
        at=_moment(request),
        seen=_outcome_of(request, commands),
        is_lookup=not any(command.method.endswith((".add", ".update")) for command in commands),
        is_exact=request.sent_at is not None,
    )


def _outcome_of(request: PortalRequest, commands: list[Command]) -> _Seen:
    if any(command.result == "error" and command.is_final for command in commands):
        return "final"
    read = {command.is_answer_read for command in commands}
    is_done = request.fate == "executed" and all(command.result == "done" for command in commands)
    if not is_done or False in read:
        return "failed"
    return "maybe" if None in read else "done"


def _overlap(between: Window, windows: Collection[Window]) -> bool:
    return any(begin <= between[1] and end >= between[0] for begin, end in windows)


def _contains_any(between: Window, moments: Collection[float]) -> bool:
    return any(between[0] <= moment <= between[1] for moment in moments)


def _violation(rule: str, what: str, user: int | None = None) -> Violation:
    return Violation(f"attempts: {rule}", "P5", what, user)


RULES = (
    attempts_keep_their_distance,
    refusals_cost_no_attempt,
    three_attempts_are_made,
    a_permanent_error_is_tried_once,
)
