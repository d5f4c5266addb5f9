"""P1 at the broker: each event has one final reply, and the ledger has its outcome."""

from collections import defaultdict
from collections.abc import Iterator

from tests.checker.history import History, Reply, Violation


def an_event_has_one_final_reply(history: History) -> Iterator[Violation]:
    """An event published once is answered once; none is answered more often than published.

    Excused are losses between its first publication and its last reply: they may leave a copy
    unsettled, or make an event forgotten. A transient failure is not final.
    """
    if not history.is_broker_complete:
        return
    sent: dict[str, list[float]] = defaultdict(list)
    for publication in history.publications:
        sent[publication.event_id].append(publication.at)
    by_event: dict[str, list[Reply]] = defaultdict(list)
    for reply in history.replies:
        if reply.event_id not in history.injected.replayed:
            by_event[reply.event_id].append(reply)
    for event, replies in by_event.items():
        ends = sorted({reply.outcome for reply in replies if not reply.is_transient})
        is_contradictory = len(ends) > 1 and len(sent[event]) < 2
        if not is_contradictory and len(replies) <= len(sent[event]):
            continue
        if not _is_excused(
            min(sent[event], default=0), max(reply.at for reply in replies), history
        ):
            what = f"{event}, sent {len(sent[event])} times, ended as {ends}: {replies}"
            yield _violation(what, replies[0].user)


def _is_excused(begin: float, end: float, history: History) -> bool:
    moments = [(loss, loss) for loss in history.injected.redis_losses]
    windows = (*moments, *history.injected.losses)
    return any(loss_begin <= end and loss_end >= begin for loss_begin, loss_end in windows)


def the_ledger_has_the_replied_outcome(history: History) -> Iterator[Violation]:
    """A synced event had a success as its reply, a failed one an error and never a success.

    Each reply has its event's version. A success may be lost with the broker's queues.
    """
    replied: dict[str, set[str]] = defaultdict(set)
    versions = {event.id: event.version for event in history.events}
    for reply in history.replies:
        replied[reply.event_id].add(reply.status)
        version = versions.get(reply.event_id, reply.version)
        if reply.version not in {None, version}:
            yield _violation(f"of version {version}, not as it says: {reply}", reply.user)
    for event in history.events:
        if event.id in history.injected.replayed:
            continue
        expected_status = {"synced": "success", "failed": "error"}.get(event.outcome)
        if (
            history.is_broker_complete
            and expected_status
            and expected_status not in replied[event.id]
        ):
            yield _violation(f"no {expected_status} was replied to {event}", event.user)
        was_lost = history.injected.messages_were_lost
        if event.outcome == "failed" and "success" in replied[event.id] and not was_lost:
            yield _violation(f"a success was replied to {event}", event.user)


def _violation(what: str, user: int) -> Violation:
    return Violation("one reply", "P1", what, user)


RULES = (an_event_has_one_final_reply, the_ledger_has_the_replied_outcome)
