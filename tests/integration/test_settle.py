"""Settling replies in the ledger, in any order, late and repeated."""

from datetime import datetime
from itertools import permutations
from typing import Any
from uuid import uuid4

import orjson
import pytest

from leadline.errors import BadMessage
from leadline.ledger import settle, write
from leadline.ledger.event import Event
from leadline.ledger.settle import ReceivedReply
from leadline.messages import contract
from leadline.messages.contract import Reply
from leadline.runtime.telemetry import trace_context
from leadline.sync import replies
from leadline.users import queries
from leadline.users.model import Changes, Move, NewUser
from leadline.workqueue.entries.pending_event import Outcome
from tests.integration.conftest import execute, in_threads, rows
from tests.unit.entries import entry, pending

pytestmark = pytest.mark.usefixtures("in_postgres")


def write_versions(count: int) -> list[Event]:
    """Create a user and change its name; returns the events of these writes, oldest first."""
    event = write.create(NewUser(full_name="Ann", phone="+77001112233"), key=None).event
    renames = [Changes(full_name=f"Ann {number}") for number in range(2, count + 1)]
    return [
        event,
        *(
            write.change(event.user.id, rename, expected_version=None, key=None).event
            for rename in renames
        ),
    ]


def apply(reply: Reply, outcome: str | None, **extra: Any) -> None:
    """Settle a reply; `outcome` as its header names it, None without that header."""
    settle.apply([ReceivedReply(reply, outcome, **extra)])


def reply_to(event: Event, **extra: Any) -> Reply:
    """The reply that an event succeeded, with `extra` fields in place of its own.

    The lead of user 1 is 456, that of user 2 is 457, and so on.
    """
    success = {"status": "success", "bitrix_lead_id": 455 + event.user.id, "attempts": 1}
    fields = {"action": event.action, "user_id": event.user.id, "event_id": str(event.id)}
    return Reply(**{**success, **fields, **extra})


def failure(event: Event, reason: str = "no") -> Reply:
    """The reply that an event failed for good."""
    return reply_to(event, status="error", reason=reason, bitrix_lead_id=None, attempts=3)


def states() -> list[str]:
    return [row["state"] for row in rows("SELECT state FROM events ORDER BY version")]


def due_times() -> list[datetime | None]:
    return [row["due_at"] for row in rows("SELECT due_at FROM events ORDER BY version")]


def sync_of(event: Event) -> dict[str, Any]:
    """The sync status of an event's user, without the versions."""
    found = queries.get(event.user.id)["sync"]
    return {name: found[name] for name in ("status", "reason", "attempts", "bitrix_lead_id")}


def synced_status(event: Event) -> dict[str, Any]:
    """The sync status of a user after the success of `reply_to`."""
    lead_id = 455 + event.user.id
    return {"status": "synced", "reason": None, "attempts": 1, "bitrix_lead_id": lead_id}


#: The sync status of the first user after its success.
SYNCED = {"status": "synced", "reason": None, "attempts": 1, "bitrix_lead_id": 456}


def test_a_success_settles_the_event_and_stores_the_lead_id() -> None:
    (event,) = write_versions(1)
    apply(reply_to(event), "synced")
    assert states() == ["synced"]
    assert sync_of(event) == SYNCED


def test_a_failure_is_stored_with_reason_and_attempts() -> None:
    (event,) = write_versions(1)
    apply(failure(event, "Missing phone number"), None)
    assert states() == ["failed"]
    assert due_times() == [None]
    assert sync_of(event) == {
        "status": "failed",
        "reason": "Missing phone number",
        "attempts": 3,
        "bitrix_lead_id": None,
    }


@pytest.mark.parametrize("reason", ["Ё" * 100_000, "a\x00\ud800\u2028'😀", "\x1b[2J" * 5000])
def test_a_reply_with_any_text_of_the_portal_settles_its_event(reason: str) -> None:
    (event,) = write_versions(1)
    failed_event = pending(
        event_id=event.id,
        user=event.user.body(),
        outcome=Outcome("failed", attempts=3, reason=reason),
    )
    message = replies.reply_message(entry(failed_event, user_id=event.user.id), failed_event)
    apply(contract.read_reply(orjson.loads(message.body)), None)
    assert (states(), due_times()) == (["failed"], [None])
    stored = sync_of(event)["reason"]
    assert len(stored) == min(len(reason), 1000), "longer reasons are cut"
    # The line separator is kept; control characters are replaced.
    assert ("\u2028" in stored) == ("\u2028" in reason)
    assert stored.replace("\u2028", "").isprintable()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_replies_in_any_order_and_twice_end_the_same(order: tuple[int, ...]) -> None:
    events = write_versions(3)
    outcomes = ("superseded", "superseded", "synced")
    for number in (*order, *order):
        apply(reply_to(events[number]), outcomes[number])
    assert states() == ["superseded", "superseded", "synced"]
    assert sync_of(events[0]) == SYNCED


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_newest_versions_reply_decides_whatever_came_before(order: tuple[int, ...]) -> None:
    events = write_versions(3)
    received = [reply_to(events[0]), failure(events[1]), reply_to(events[2])]
    for number in order:
        apply(received[number], None)
    assert sync_of(events[0]) == SYNCED
    assert "open" not in states()


def test_ten_concurrent_copies_of_a_reply_settle_its_event_once() -> None:
    (event,) = write_versions(1)
    in_threads(10, lambda _: apply(reply_to(event), "synced"))
    (row,) = rows("SELECT state, attempts FROM events")
    assert row == {"state": "synced", "attempts": 1}


def test_an_older_reply_leaves_a_user_with_a_newer_write_waiting() -> None:
    first, second = write_versions(2)
    apply(reply_to(first), "synced")
    assert sync_of(first)["status"] == "waiting"
    assert sync_of(first)["bitrix_lead_id"] == 456
    apply(reply_to(second), "synced")
    assert sync_of(first) == SYNCED


def test_a_newer_success_supersedes_open_events() -> None:
    events = write_versions(3)
    apply(reply_to(events[2]), "synced")
    assert states() == ["superseded", "superseded", "synced"]


def test_a_newer_failure_supersedes_nothing() -> None:
    events = write_versions(2)
    apply(failure(events[1]), None)
    assert states() == ["open", "failed"]


def test_a_failure_may_turn_into_a_success() -> None:
    (event,) = write_versions(1)
    apply(failure(event), None)
    apply(reply_to(event), "synced")
    assert states() == ["synced"]
    assert sync_of(event) == SYNCED


def test_a_transient_failure_stays_due_and_says_when() -> None:
    (event,) = write_versions(1)
    (before,) = due_times()
    assert "retry_at" not in queries.get(event.user.id)["sync"]
    for _ in range(3):  # the reply may be repeated
        apply(failure(event, "HTTP 500"), "failed", is_transient=True)
    assert due_times() == [before]
    assert sync_of(event)["status"] == "failed"
    assert queries.get(event.user.id)["sync"]["retry_at"] == before


def test_nothing_is_due_after_a_later_retry_has_succeeded() -> None:
    (event,) = write_versions(1)
    apply(failure(event), "failed", is_transient=True)
    apply(reply_to(event), "synced")
    apply(failure(event), "failed", is_transient=True)
    assert due_times() == [None]
    assert sync_of(event) == SYNCED


def test_a_later_retry_with_a_permanent_failure_is_the_last() -> None:
    (event,) = write_versions(1)
    apply(failure(event, "HTTP 500"), "failed", is_transient=True)
    apply(failure(event, "no such field"), "failed")
    apply(failure(event, "HTTP 500"), "failed", is_transient=True)
    assert due_times() == [None]
    assert states() == ["failed"]


def test_an_event_that_fails_for_too_long_is_left_to_an_operator() -> None:
    (event,) = write_versions(1)
    apply(failure(event), "failed", is_transient=True)
    for days, is_due in ((13, True), (15, False)):
        execute("UPDATE events SET settled_at = now() - make_interval(days => :days)", days=days)
        apply(failure(event, "still down"), "failed", is_transient=True)
        assert (due_times() != [None]) == is_due
    assert sync_of(event)["reason"] == "still down"


def test_a_success_never_turns_into_a_failure() -> None:
    (event,) = write_versions(1)
    apply(reply_to(event), "synced")
    apply(failure(event), None)
    assert states() == ["synced"]
    assert sync_of(event) == SYNCED


def test_the_newest_applied_version_names_the_lead() -> None:
    events = write_versions(3)
    apply(reply_to(events[1], bitrix_lead_id=20), "synced")
    apply(reply_to(events[0], bitrix_lead_id=10), "synced")
    assert sync_of(events[0])["bitrix_lead_id"] == 20
    apply(reply_to(events[2], bitrix_lead_id=30), "synced")
    assert sync_of(events[0])["bitrix_lead_id"] == 30


def test_a_late_older_success_does_not_restore_its_lead() -> None:
    first, second = write_versions(2)
    apply(failure(first), None)
    apply(reply_to(second, bitrix_lead_id=20), "synced")
    apply(reply_to(first, bitrix_lead_id=10), "synced")
    assert sync_of(first)["bitrix_lead_id"] == 20


def test_a_failure_does_not_forget_the_lead() -> None:
    first, second = write_versions(2)
    apply(reply_to(first), "synced")
    apply(failure(second), None)
    assert sync_of(first)["bitrix_lead_id"] == 456


def test_a_reply_to_an_unknown_event_is_a_bad_message() -> None:
    (event,) = write_versions(1)
    other = write.create(NewUser(full_name="Bob", phone="+77005556677"), key=None).event
    for wrong in (
        {"event_id": str(uuid4())},
        {"event_id": "7"},
        {"user_id": 999},
        {"user_id": other.user.id},
    ):
        with pytest.raises(BadMessage):
            apply(reply_to(event, **wrong), "synced")
    assert states() == ["open", "open"]


def test_a_reply_without_an_event_id_answers_the_oldest_open_event_of_its_action() -> None:
    events = write_versions(3)
    apply(reply_to(events[1], event_id=None), None)
    assert states() == ["superseded", "synced", "open"]
    apply(reply_to(events[2], event_id=None), None)
    assert states() == ["superseded", "synced", "synced"]
    with pytest.raises(BadMessage):
        apply(reply_to(events[2], event_id=None), None)


def test_a_failure_without_a_reason_gets_one() -> None:
    (event,) = write_versions(1)
    apply(reply_to(event, status="error", bitrix_lead_id=None), None)
    assert sync_of(event)["reason"] == "no reason given"


def test_concurrent_replies_of_one_user_never_deadlock() -> None:
    for _ in range(15):
        events = write_versions(6)

        def settle_one(number: int, events: list[Event] = events) -> None:
            apply(reply_to(events[number]), "synced")

        in_threads(6, settle_one)
        assert sync_of(events[0]) == synced_status(events[0])


def apply_with_fence(event: Event, fence: int, outcome: str = "synced") -> None:
    apply(reply_to(event), outcome, fence=str(fence))


def resync_events() -> list[tuple[int, str, int | None]]:
    found = rows(
        "SELECT version, changed, stage_version FROM events WHERE changed = 'look' ORDER BY version"
    )
    return [(row["version"], row["changed"], row["stage_version"]) for row in found]


def test_a_newer_state_overwritten_by_an_older_one_is_resynced() -> None:
    """As when Redis has lost all data, and a late message arrives."""
    events = write_versions(3)
    apply_with_fence(events[2], fence=30)
    apply_with_fence(events[1], fence=40)
    assert resync_events() == [(4, "look", None)]
    assert sync_of(events[0])["status"] == "waiting"


@pytest.mark.parametrize("is_late", [True, False], ids=["late", "first"])
@pytest.mark.parametrize(("older", "stage_version"), [("move", 4), ("name", None)])
def test_the_stage_is_rewritten_only_if_the_older_write_may_have_set_it(
    older: str, stage_version: int | None, *, is_late: bool
) -> None:
    """In all other cases a person may have set the lead's stage."""
    (first,) = write_versions(1)
    apply_with_fence(first, fence=10)
    change = Move(stage="JUNK") if older == "move" else Changes(full_name="Ann Lee")
    second = write.change(first.user.id, change, expected_version=None, key=None).event
    third = write.change(
        first.user.id, Changes(full_name="Ann Lim"), expected_version=None, key=None
    ).event
    in_order = [(third, 30), (second, 40)] if is_late else [(second, 40), (third, 30)]
    for event, fence in (*in_order, in_order[-1]):  # the last one repeated
        apply_with_fence(event, fence=fence)
    assert resync_events()[0] == (4, "look", stage_version)


def test_an_overwritten_state_is_resynced_even_if_the_replies_arrive_in_reverse() -> None:
    events = write_versions(3)
    apply_with_fence(events[1], fence=40)
    apply_with_fence(events[2], fence=30)
    assert resync_events() == [(4, "look", None)]


def test_an_overwritten_state_is_resynced_even_if_the_user_has_another_open_event() -> None:
    events = write_versions(3)
    apply_with_fence(events[1], fence=30)
    apply_with_fence(events[0], fence=40)
    assert resync_events() == [(4, "look", None)]


def test_a_version_written_again_may_have_overwritten_an_unanswered_newer_one() -> None:
    """Redis lost its last second, and version 1 was written again; found by the model."""
    events = write_versions(3)
    apply_with_fence(events[0], fence=10)
    apply_with_fence(events[0], fence=30)
    assert resync_events() == []
    apply_with_fence(events[1], fence=20)
    assert resync_events() == [(4, "look", None)]


def test_the_same_version_applied_under_two_leases_needs_no_resync() -> None:
    events = write_versions(3)
    apply_with_fence(events[1], fence=30)
    apply_with_fence(events[1], fence=20)
    assert resync_events() == []


def test_the_lead_of_the_later_lease_is_stored_in_any_order() -> None:
    """The first lead was deleted, and its reply was late; found by the simulation."""
    (event,) = write_versions(1)
    apply(reply_to(event, bitrix_lead_id=1), "synced", fence="10")
    apply(reply_to(event, bitrix_lead_id=2), "synced", fence="20")
    assert sync_of(event)["bitrix_lead_id"] == 2
    apply(reply_to(event, bitrix_lead_id=1), "synced", fence="10")
    assert sync_of(event)["bitrix_lead_id"] == 2


def test_a_late_older_state_is_resynced_once_however_often_it_is_answered() -> None:
    events = write_versions(3)
    apply_with_fence(events[1], fence=30)
    for _ in range(3):
        apply_with_fence(events[0], fence=40)
    assert len(resync_events()) == 1


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_replies_in_any_order_to_ordered_writes_need_no_resync(
    order: tuple[int, ...],
) -> None:
    events = write_versions(3)
    for number in (*order, *order):
        apply_with_fence(events[number], fence=10 * (number + 1))
    apply_with_fence(events[0], fence=30, outcome="superseded")
    assert resync_events() == []


@pytest.mark.parametrize("fence", ["", "x", "-1", "9" * 40])
def test_an_invalid_token_is_ignored(fence: str) -> None:
    events = write_versions(2)
    apply_with_fence(events[1], fence=30)
    apply(reply_to(events[0]), "synced", fence=fence)
    assert resync_events() == []


def write_users(count: int) -> list[Event]:
    """Create this many users; returns the event of each."""
    return [write_versions(1)[0] for _ in range(count)]


def test_replies_of_many_users_are_settled_in_one_batch_as_if_alone() -> None:
    first, second, third = (write_versions(3) for _ in range(3))
    settle.apply(
        [
            ReceivedReply(failure(first[2], "no such field")),
            ReceivedReply(reply_to(second[2], bitrix_lead_id=2), "synced", fence="5"),
            ReceivedReply(failure(third[0], "HTTP 500"), "failed", is_transient=True),
            ReceivedReply(reply_to(first[0], bitrix_lead_id=1), "superseded"),
            ReceivedReply(failure(second[2])),
            ReceivedReply(reply_to(third[0], bitrix_lead_id=3), "synced"),
            ReceivedReply(reply_to(third[0], bitrix_lead_id=3), "synced"),
        ]
    )
    found = rows("SELECT state FROM events ORDER BY user_id, version")
    assert [row["state"] for row in found] == [
        "superseded",
        "open",
        "failed",
        "superseded",
        "superseded",
        "synced",
        "synced",
        "open",
        "open",
    ]
    assert sync_of(first[0])["reason"] == "no such field"
    assert [sync_of(user[0])["bitrix_lead_id"] for user in (first, second, third)] == [1, 2, 3]
    assert rows("SELECT applied_fence FROM users ORDER BY id")[1] == {"applied_fence": 5}


def test_a_reply_to_an_unknown_event_leaves_the_rest_of_its_batch_settled() -> None:
    known, other = write_users(2)
    batch = [
        ReceivedReply(reply_to(known)),
        ReceivedReply(reply_to(other, event_id=str(uuid4()))),
        ReceivedReply(reply_to(other)),
    ]
    with pytest.raises(BadMessage):
        settle.apply(batch)
    assert sync_of(known) == synced_status(known)
    settle.apply([batch[2], batch[0]])  # one by one, as the connector then delivers them
    assert sync_of(other) == synced_status(other)


def test_replies_without_an_event_id_answer_one_event_after_the_other() -> None:
    events = write_versions(3)
    settle.apply([ReceivedReply(reply_to(events[2], event_id=None)) for _ in range(2)])
    assert states() == ["superseded", "synced", "synced"]


def test_each_resynced_user_keeps_the_trace_of_its_reply() -> None:
    batch = []
    for number in range(2):
        events = write_versions(2)
        apply_with_fence(events[1], fence=30)
        trace = trace_context.trace_from_headers(f"call-{number}", None)
        batch.append(ReceivedReply(reply_to(events[0]), "synced", fence="40", trace=trace))
    settle.apply(batch)
    found = rows(
        "SELECT correlation_id, traceparent FROM events WHERE changed = 'look' ORDER BY user_id"
    )
    assert found == [
        {"correlation_id": event.trace.correlation_id, "traceparent": event.trace.traceparent}
        for event in batch
    ]


def test_batches_of_the_same_users_in_any_order_never_deadlock() -> None:
    events = write_users(40)

    def settle_rotated(seed: int) -> None:
        rotated = [*events[seed * 7 :], *events[: seed * 7]]
        if seed % 2 == 0:
            rotated.reverse()
        settle.apply([ReceivedReply(reply_to(event)) for event in rotated])

    for _ in range(5):
        execute("UPDATE events SET state = 'failed', reason = 'no', settled_at = now()")
        in_threads(6, settle_rotated)
    assert {row["state"] for row in rows("SELECT state FROM events")} == {"synced"}


LEAD_OF_ANOTHER = "lead 456 belongs to another user"


def test_a_reply_that_names_another_users_lead_fails_permanently_and_leaves_that_user_alone() -> (
    None
):
    (holder,), (other,) = write_versions(1), write_versions(1)
    apply(reply_to(holder), "synced")
    for _ in range(2):  # the reply may be repeated
        apply(reply_to(other, bitrix_lead_id=456), "synced", is_transient=True)
        assert sync_of(holder) == SYNCED
        assert sync_of(other) == {
            "status": "failed",
            "reason": LEAD_OF_ANOTHER,
            "attempts": 1,
            "bitrix_lead_id": None,
        }
        assert (states(), due_times()) == (["synced", "failed"], [None, None])
    changed = write.change(
        other.user.id, Changes(full_name="Bo"), expected_version=None, key=None
    ).event
    apply(reply_to(changed), "synced")
    assert sync_of(other)["status"] == "synced"
    assert sync_of(other)["bitrix_lead_id"] == 457


@pytest.mark.parametrize(("taken_lead", "lead_id"), [("9", None), ("8", 9), (None, 9)])
def test_a_user_that_was_never_synced_loses_the_chosen_lead_if_it_is_taken(
    taken_lead: str | None, lead_id: int | None
) -> None:
    (event,) = write_versions(1)
    execute("UPDATE users SET bitrix_lead_id = 9")
    apply(failure(event), "failed", taken_lead=taken_lead)
    assert (sync_of(event)["reason"], sync_of(event)["bitrix_lead_id"]) == ("no", lead_id)


def test_a_synced_user_keeps_its_lead_if_a_reply_says_that_it_is_taken() -> None:
    (event,) = write_versions(1)
    apply(reply_to(event), "synced")
    newer = write.change(
        event.user.id, Changes(full_name="Bo"), expected_version=None, key=None
    ).event
    apply(failure(newer), "failed", taken_lead="456")
    assert sync_of(event)["bitrix_lead_id"] == 456


def test_one_of_two_replies_in_a_batch_that_name_the_same_lead_gets_it() -> None:
    first, second, third = (write_versions(1)[0] for _ in range(3))
    batch = [
        ReceivedReply(reply_to(event, bitrix_lead_id=77), "synced") for event in (third, second)
    ]
    settle.apply([*batch, ReceivedReply(reply_to(first), "synced")])
    assert sorted(states()) == ["failed", "synced", "synced"]
    holders = rows("SELECT id, bitrix_lead_id FROM users WHERE sync_status = 'synced' ORDER BY id")
    assert [row["bitrix_lead_id"] for row in holders] == [456, 77]


def test_a_user_keeps_its_lead_whoever_names_it_in_the_same_batch() -> None:
    other, holder = write_versions(1)[0], write_versions(1)[0]
    apply(reply_to(holder, bitrix_lead_id=9), "synced")
    newer = write.change(
        holder.user.id, Changes(full_name="Bo"), expected_version=None, key=None
    ).event
    batch = [reply_to(other, bitrix_lead_id=9), reply_to(newer, bitrix_lead_id=9)]
    settle.apply([ReceivedReply(reply, "synced") for reply in batch])
    assert sync_of(holder) == {**SYNCED, "bitrix_lead_id": 9}
    assert sync_of(other)["reason"] == "lead 9 belongs to another user"


def test_concurrent_replies_never_assign_a_lead_to_two_users() -> None:
    events = [write_versions(1)[0] for _ in range(40)]

    def settle_some(thread: int) -> None:
        for event in events[thread::4]:
            apply(reply_to(event, bitrix_lead_id=1 + event.user.id % 5), "synced")

    in_threads(4, settle_some)
    assert sorted(states()) == ["failed"] * 35 + ["synced"] * 5
    leads = rows("SELECT bitrix_lead_id AS id FROM users WHERE bitrix_lead_id IS NOT NULL")
    assert sorted(row["id"] for row in leads) == [1, 2, 3, 4, 5]
