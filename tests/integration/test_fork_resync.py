"""After a fork of Postgres: replies to lost events, and the sweep that resyncs every user."""

import time
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest

from leadline.errors import BadMessage
from leadline.ledger import relay, settle
from leadline.ledger.event import Event
from leadline.ledger.resync import fork_resync
from leadline.ledger.settle import ReceivedReply
from leadline.messages.contract import Reply
from leadline.runtime.postgres import installation
from leadline.users.model import UserId
from tests.integration.conftest import in_threads, rows
from tests.integration.test_history import create, history, move, reply_to
from tests.integration.test_relay import take_messages

Fork = Callable[[], None]


# --- Replies of the lost history ----------------------------------------------------------------


def resyncs() -> list[tuple[int, str]]:
    """Users and states of the resync events."""
    found = rows("SELECT user_id, state FROM events WHERE changed = 'look' ORDER BY version")
    return [(row["user_id"], row["state"]) for row in found]


def settle_event(event: Event) -> None:
    settle.apply([reply_to(event)])


def lost_event_of(event: Event) -> Event:
    """An event that Postgres lost together with its history."""
    return replace(event, id=str(uuid4()), version=event.version + 1)


@pytest.mark.usefixtures("in_postgres")
@pytest.mark.parametrize("status", ["success", "error"])
def test_a_lead_reached_by_a_lost_write_is_resynced_once(fork_history: Fork, status: str) -> None:
    event = create()
    fork_history()
    sweep_all_users()
    settle_event(event)
    lost_reply = reply_to(lost_event_of(event), status=status, reason="HTTP 500")
    before = resyncs()
    for _ in range(3):  # the reply may be repeated
        with pytest.raises(BadMessage, match="Postgres has lost"):
            settle.apply([lost_reply])
    assert resyncs() == [*before, (event.user.id, "open")]


@pytest.mark.usefixtures("in_postgres")
def test_a_reply_to_a_lost_event_does_not_affect_the_rest_of_its_batch(fork_history: Fork) -> None:
    first, second = create(), create()
    fork_history()
    installation.ensure_history()
    with pytest.raises(BadMessage):
        settle.apply([reply_to(lost_event_of(first)), reply_to(second, bitrix_lead_id=6)])
    (row,) = rows("SELECT state FROM events WHERE user_id = :id", id=second.user.id)
    assert row == {"state": "synced"}


@pytest.mark.usefixtures("in_postgres")
@pytest.mark.parametrize(
    "claimed_history",
    [
        None,
        "",
        "0",
        "-1",
        "odd",
        "9" * 30,
        pytest.param(str(int(time.time() + 10 * 86400) * 1000), id="in ten days"),
    ],
)
def test_a_reply_without_a_credible_history_is_still_a_dead_letter(
    claimed_history: str | None,
) -> None:
    event = create()
    settle_event(event)
    before = history()
    reply = replace(reply_to(lost_event_of(event)), history=claimed_history)
    with pytest.raises(BadMessage, match="answers no event"):
        settle.apply([reply])
    assert (history(), resyncs()) == (before, [])


@pytest.mark.usefixtures("in_postgres")
def test_a_reply_to_a_pruned_event_does_not_mean_a_fork() -> None:
    event = create()
    settle_event(event)
    before = history()
    settle_event(move(event, "JUNK"))
    pruned = replace(event, id=str(uuid4()))
    for unknown in (pruned, replace(pruned, version=2)):
        with pytest.raises(BadMessage, match="answers no event"):
            settle.apply([reply_to(unknown)])
    assert (history(), resyncs()) == (before, [])


@pytest.mark.usefixtures("in_postgres")
def test_a_reply_about_an_unknown_user_writes_nothing(fork_history: Fork) -> None:
    event = create()
    fork_history()
    installation.ensure_history()
    unknown = replace(event, id=str(uuid4()), user=replace(event.user, id=UserId(77)))
    with pytest.raises(BadMessage):
        settle.apply([reply_to(unknown)])
    assert resyncs() == []


# --- The sweep ------------------------------------------------------------------------------------


def sweep_all_users() -> None:
    """Run steps of the sweep and answer all open events until it is done."""
    while installation.ensure_history().is_sweeping:
        fork_resync.step()
        for row in rows("SELECT id, user_id, version FROM events WHERE state = 'open'"):
            fields = {"action": "update_card", "user_id": row["user_id"], "attempts": 1}
            fields |= {"status": "success", "bitrix_lead_id": 5 + row["user_id"]}
            reply = Reply(**fields, event_id=str(row["id"]))
            settle.apply([ReceivedReply(reply, outcome="synced")])


@pytest.mark.usefixtures("in_postgres")
def test_after_a_fork_every_user_is_resynced_once(
    fork_history: Fork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_resync, "MAX_OPEN", 3)
    events = [create() for _ in range(7)]
    settle_event(events[0])
    fork_history()
    move(events[3], "JUNK")  # a newer write is open; the lead may still show a lost state
    new_user = create()
    sweep_all_users()
    assert sorted(resyncs()) == [(event.user.id, "synced") for event in events]
    assert new_user.user.id not in {user for user, _ in resyncs()}
    before = len(resyncs())
    fork_resync.step()
    assert len(resyncs()) == before


@pytest.mark.usefixtures("in_postgres")
def test_the_sweep_waits_while_clients_have_many_open_events(
    fork_history: Fork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_resync, "MAX_OPEN", 3)
    events = [create() for _ in range(5)]
    fork_history()
    assert installation.ensure_history().is_sweeping
    assert fork_resync.step() == 0
    for event in events[:3]:
        settle_event(event)
    assert fork_resync.step() == 1, "one more may be open"
    assert fork_resync.step() == 0


@pytest.mark.usefixtures("in_postgres")
def test_failures_with_a_later_retry_do_not_delay_the_sweep(
    fork_history: Fork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_resync, "MAX_OPEN", 2)
    for _ in range(3):
        event = create()
        failed = reply_to(event, status="error", reason="HTTP 500", bitrix_lead_id=None)
        settle.apply([replace(failed, outcome="failed", is_transient=True)])
    fork_history()
    assert installation.ensure_history().is_sweeping
    assert fork_resync.step() == 2


@pytest.mark.usefixtures("in_postgres")
def test_concurrent_sweeps_do_not_resync_twice(
    fork_history: Fork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_resync, "MAX_OPEN", 10)
    events = [create() for _ in range(40)]
    for event in events:
        settle_event(event)
    fork_history()
    installation.ensure_history()
    in_threads(8, lambda _: fork_resync.step())
    found = [user for user, _ in resyncs()]
    assert len(found) == len(set(found)), "no user twice"
    assert len(found) >= 10


@pytest.mark.usefixtures("in_postgres")
def test_a_fork_during_a_sweep_restarts_it(
    fork_history: Fork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_resync, "MAX_OPEN", 2)
    events = [create() for _ in range(3)]
    for event in events:
        settle_event(event)
    fork_history()
    installation.ensure_history()
    assert fork_resync.step() == 2
    fork_history()
    sweep_all_users()
    assert {user for user, _ in resyncs()} == {event.user.id for event in events}
    assert installation.stored().swept_to == events[-1].user.id


def test_a_tick_of_the_relay_notices_a_fork_and_resyncs(
    fork_history: Fork, in_rabbitmq: str
) -> None:
    event = create()
    settle_event(event)
    fork_history()
    relay.run()
    (properties,) = take_messages(in_rabbitmq)
    assert properties.headers["ce-changed"] == "look"
    assert int(properties.headers["ce-history"]) == history() > (event.history or 0)
    assert "ce-stageversion" not in properties.headers, "a stage set by hand stays"
