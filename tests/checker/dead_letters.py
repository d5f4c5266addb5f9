"""P6: unprocessable messages are dead-lettered where an operator finds them, and no others."""

from collections.abc import Iterator

from tests.checker.history import History, Violation

#: Part of the reason for which a reply to an event that Postgres does not have is dead-lettered.
LOST = "that Postgres has lost"


def dead_letters_hold_only_unprocessable_messages(history: History) -> Iterator[Violation]:
    """Each dead letter has its reason, and none is an event of the ledger or its reply.

    Excused is what the harness injected, and the reply to an event that Postgres had lost, and that
    a second restore brought back.
    """
    lost = {lost for fork in history.injected.forks for lost in fork.lost}  # user and version
    events = {event.id: event for event in history.events}
    for dead_letter in history.dead_letters:
        if not dead_letter.reason:
            yield Violation("dead letters", "P6", f"without a reason: {dead_letter}")
        event = events.get(dead_letter.event_id) if dead_letter.event_id is not None else None
        is_poison = dead_letter.message_id in history.injected.poison
        if event is not None and LOST in dead_letter.reason and (event.user, event.version) in lost:
            continue
        if event is not None and not is_poison and event.id not in history.injected.replayed:
            yield Violation("dead letters", "P6", f"{dead_letter} is {event}", event.user)


def poison_is_kept(history: History) -> Iterator[Violation]:
    """Each unprocessable message is in its dead letter queue, unless queues were lost."""
    if history.injected.messages_were_lost:
        return
    found = {(dead_letter.message_id, dead_letter.queue) for dead_letter in history.dead_letters}
    for message_id, queue in history.injected.poison.items():
        if (message_id, queue) not in found:
            yield Violation("dead letters", "P6", f"{message_id} is not in {queue}")


RULES = (dead_letters_hold_only_unprocessable_messages, poison_is_kept)
