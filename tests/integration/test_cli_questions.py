"""One command answers each question of an operator: why, what failed, what to retry."""

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from leadline.errors import PortalDown, Unavailable
from leadline.ledger import settle, write
from leadline.ledger.event import Event
from leadline.ledger.settle import ReceivedReply
from leadline.messages import topology
from leadline.operations.diagnosis import event_feed
from leadline.sync import portal_session
from leadline.users.model import NewUser
from leadline.workqueue import reachability
from tests.integration.conftest import CommandOutput, execute, rows
from tests.integration.test_settle import failure, reply_to

Leadline = Callable[..., CommandOutput]


@pytest.fixture(autouse=True)
def connected(in_postgres: str, in_redis: str) -> None:
    assert in_postgres
    assert in_redis


@pytest.fixture
def connector(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockingChannel]:
    """A consumer of both queues."""
    monkeypatch.setenv("AMQP_URL", amqp_url)
    with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        channel = connection.channel()
        for name in (topology.REQUESTS, topology.REPLIES):
            topology.declare(channel, topology.main_queue(name))
            channel.basic_consume(name, lambda *_: None)
        yield channel


def create(name: str = "Ann", phone: str = "+77001112233") -> Event:
    return write.create(NewUser(full_name=name, phone=phone), key=None).event


def create_failed_user(reason: str, minutes_ago: int = 0, *, retried: bool = False) -> int:
    """A user whose only write has failed."""
    event = create()
    settle.apply([ReceivedReply(failure(event, reason))])
    execute(
        "UPDATE events SET settled_at = now() - make_interval(mins => :ago),"
        " due_at = CASE WHEN :retried THEN now() + interval '1 hour' END WHERE id = :id",
        ago=minutes_ago,
        retried=retried,
        id=event.id,
    )
    return event.user.id


# Why is this user not in the CRM?


def reason_and_text(leadline: Leadline, user_id: int) -> tuple[str, str]:
    """The code of the reason that `show` gives, and its output for people."""
    output = leadline("show", user_id)
    assert output.code == 0
    return leadline("show", user_id, "--json").json["why"]["code"], output.out.decode()


def test_a_rejected_user_is_shown_with_the_portals_text_and_the_retry_command(
    leadline: Leadline,
) -> None:
    user_id = create_failed_user("Field X is required")
    code, text = reason_and_text(leadline, user_id)
    assert code == "whyPermanent"
    assert "Field X is required" in text
    assert "Bitrix24 rejects this record" in text
    assert f"leadline resync {user_id}" in text


def test_a_user_that_will_be_retried_is_shown_with_the_time(leadline: Leadline) -> None:
    soonest = datetime.now(UTC).astimezone() + timedelta(hours=1)
    code, text = reason_and_text(
        leadline, create_failed_user("the portal did not answer", retried=True)
    )
    latest = datetime.now(UTC).astimezone() + timedelta(hours=1)
    assert code == "whyTransient"
    assert any(f"{at:%Y-%m-%d %H:}" in text for at in (soonest, latest))


def test_a_waiting_user_is_shown_with_what_it_waits_for(leadline: Leadline) -> None:
    event = create()
    code, text = reason_and_text(leadline, event.user.id)
    assert (code, "RabbitMQ has not confirmed it" in text) == ("whyUnpublished", True)
    execute("UPDATE events SET published_at = now(), sendings = 1")
    assert reason_and_text(leadline, event.user.id)[0] == "whyUnreceived"
    portal_session.circuit_breaker().open(PortalDown("the plan has expired"))
    code, text = reason_and_text(leadline, event.user.id)
    assert (code, "All calls are paused: the plan has expired" in text) == ("whyPaused", True)
    portal_session.circuit_breaker().hold(reason="")
    assert "paused: by an operator" in reason_and_text(leadline, event.user.id)[1]
    settle.apply([ReceivedReply(reply_to(event))])
    assert reason_and_text(leadline, event.user.id)[0] == "allWell"


def test_without_redis_the_ledgers_part_is_still_shown(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = create_failed_user("no such stage")
    for is_configured in (True, False):
        if is_configured:
            monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")  # nothing listens there
        else:
            monkeypatch.delenv("REDIS_URL")
        output = leadline("show", user_id)
        assert (output.code, "no such stage" in output.out.decode()) == (0, True)
        assert "the work queue is not shown" in output.err


# What failed, and what is common to it?


def test_failures_are_restricted_by_time_and_reason(leadline: Leadline) -> None:
    old = create_failed_user("Field X is required", minutes_ago=90)
    new = create_failed_user("Field X is required")
    other = create_failed_user("no such stage", retried=True)

    def listed_ids(*words: object) -> list[int]:
        return [item["id"] for item in leadline("failed", "--json", *words).json["items"]]

    assert listed_ids() == [old, new, other]
    assert listed_ids("--since", "1h") == [new, other]
    assert listed_ids("--reason", "field x") == [old, new]
    assert listed_ids("--since", "1h", "--reason", "FIELD X") == [new]
    assert listed_ids("--since", "1h", "--limit", 1) == [new]
    assert listed_ids("--since", "1h", "--limit", 1, "--after", new) == [other]
    assert listed_ids("--reason", "nothing like it") == []
    assert leadline("failed", "--reason", "nothing like it").code == 0
    text = leadline("failed", "--since", "1h").out.decode()
    assert f"{datetime.now(UTC).astimezone():%Y-%m-%d}" in text
    assert "no such stage" in text


def test_failures_are_grouped_by_reason_with_what_is_common(leadline: Leadline) -> None:
    for number in (12, 345):
        create_failed_user(f"lead {number} belongs to another user", minutes_ago=90)
    create_failed_user("lead 6 belongs to another user", retried=True)
    other = create_failed_user("no such stage")
    execute("UPDATE users SET stage = 'JUNK' WHERE id = 2")
    answer = leadline("failed", "--group", "--json")
    assert answer.code == 1
    of_leads, of_stage = answer.json["groups"]
    assert (of_leads["users"], of_leads["retrying"], of_leads["user"]) == (3, 1, 1)
    assert of_leads["common"] == {"action": "create_card"}
    first_at, last_at = (datetime.fromisoformat(of_leads[name]) for name in ("first_at", "last_at"))
    assert last_at - first_at >= timedelta(minutes=89)
    assert (of_stage["users"], of_stage["user"], of_stage["reason"]) == (1, other, "no such stage")
    assert of_stage["common"]["stage"] == "NEW"
    recent = leadline("failed", "--group", "--since", "1h", "--json").json["groups"]
    assert [group["users"] for group in recent] == [1, 1]
    output = leadline("failed", "--group", "--since", "2h")
    assert "action create_card" in output.out.decode()
    _, _, retry = output.err.partition("leadline ")
    assert leadline(*shlex.split(retry), "--yes", "--json").json["asked_again"] == 3
    assert leadline("resync", "--all-failed", "--yes").code == 0
    assert leadline("failed", "--group", "--json").json == {"groups": []}
    assert leadline("failed", "--group").code == 0


# Retry just those


def waiting_ids() -> list[int]:
    found = rows("SELECT id FROM users WHERE sync_status = 'waiting' ORDER BY id")
    return [int(row["id"]) for row in found]


def test_only_the_failures_that_were_listed_are_resynced(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadline.operations.bulk.steps.BATCH", 1)
    old = create_failed_user("Field 1 is required", minutes_ago=90)
    # Reasons that differ in numbers only are one.
    first, second = (create_failed_user(f"Field {n} is required") for n in (2, 3))
    other = create_failed_user("no such stage")
    words = ("resync", "--all-failed", "--since", "1h", "--reason", "field 2 is required")
    for typed in (None, "n\n"):
        output = leadline(*words, typed=typed)
        assert (output.code, "Resync 2 failed users?" in output.err) == (2, True)
    assert waiting_ids() == []
    output = leadline(*words, "--json", typed="y\n")
    assert (output.code, output.json["asked_again"]) == (0, 2)
    assert waiting_ids() == [first, second]
    (action,) = leadline("audit", "--orders", "--json").json["items"]
    assert action["about"] == {"job": output.json["job"], "asked": 2}, "no text of a reason"
    assert "resync failed" in leadline("audit", "--orders").out.decode(), "not its stored name"
    (job,) = leadline("jobs", "list", "--json").json["jobs"]
    assert (job["state"], job["done"], job["changed"]) == ("done", 2, 2)
    assert job["outcome"] == {"open": 2}
    assert leadline("jobs", "show", job["id"], "--json").json == job
    stored = rows("SELECT CAST(selection AS text) AS text FROM bulk_jobs")[0]["text"]
    assert "required" not in stored, "a reason may quote a person"
    assert leadline("jobs", "cancel", job["id"]).code == 1, "the job has ended"
    assert leadline("resync", "--all-failed", "--yes", "--json").json["asked_again"] == 2
    assert waiting_ids() == [old, first, second, other]


def test_resync_options_that_restrict_nothing_are_a_usage_error(leadline: Leadline) -> None:
    for words in (("1", "--since", "1h"), ("1", "--reason", "x"), ("1", "--all-failed"), ()):
        assert leadline("resync", *words).code == 2


# Is everything in sync?


def test_a_healthy_system_needs_no_attention_and_has_no_negative_age(
    leadline: Leadline, connector: BlockingChannel
) -> None:
    portal_session.worker_heartbeats().beat("one")
    event = create()
    execute("UPDATE events SET due_at = now() + interval '1 hour', occurred_at = now()")
    output = leadline("status", "--json")
    assert (output.code, output.json["attention"]) == (0, [])
    assert output.json["ledger"]["overdue_s"] == 0
    execute("UPDATE events SET occurred_at = now() + interval '5 min'")  # another clock
    assert leadline("status", "--json").json["ledger"]["oldest_s"] == 0
    assert not re.search(rb"\s-\d", leadline("status").out)
    for tag in list(connector.consumer_tags):
        connector.basic_cancel(tag)
    output = leadline("status", "--json")
    assert output.code == 1
    assert output.json["attention"] == [
        "No connector consumes bitrix_queue: its messages wait in RabbitMQ; leadline doctor"
    ]
    settle.apply([ReceivedReply(failure(event))])
    assert "1 user failed; leadline failed --group" in leadline("status").out.decode()


def test_status_names_what_needs_an_operator_with_a_command(
    leadline: Leadline, connector: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connector.is_open
    create_failed_user("no such stage")
    portal_session.circuit_breaker().hold("leads are imported")
    monkeypatch.setattr(reachability, "GRACE_S", 0.0)
    portal_session.reachability().record_failure(Unavailable("connection refused"))
    execute("UPDATE events SET due_at = now() - interval '1 hour'")
    text = "\n".join(leadline("status", "--json").json["attention"])
    for words in (
        "paused by an operator: leads are imported",
        "leadline portal resume",
        "Bitrix24 is unreachable, no connection",
        "no worker has reported",
        "the relay is late by 60 min",
        "1 user failed; leadline failed --group",
    ):
        assert words in text
    assert topology.REQUESTS not in text


def test_the_backlog_has_a_forecast_as_a_range(
    leadline: Leadline, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMQP_URL", amqp_url)

    def outlook_and_text() -> tuple[str, str]:
        forecast = leadline("status", "--json").json["forecast"]
        return forecast["outlook"], leadline("status").out.decode()

    outlook, text = outlook_and_text()
    assert (outlook, "nothing waits" in text) == ("empty", True)
    events = [create() for _ in range(20)]
    assert outlook_and_text()[0] == "stalled"
    settle.apply([ReceivedReply(reply_to(event)) for event in events[:10]])
    assert outlook_and_text()[0] == "growing"
    # The id of an event begins with its time: none has been accepted recently.
    long_ago = "overlay(CAST(id AS text) placing '00000000-0001' from 1 for 13)"
    execute(f"UPDATE events SET id = CAST({long_ago} AS uuid)")  # noqa: S608 - a constant
    outlook, text = outlook_and_text()
    assert outlook == "range"
    assert "empty in 60 s to 10 min, if no more is accepted" in text


# Who is it?


def test_users_are_found_as_in_the_console(leadline: Leadline) -> None:
    ann, bob = create("Анна Ким"), create("Bob", "+77009998877")

    def listed_ids(*words: object) -> list[int]:
        return [item["id"] for item in leadline("users", *words, "--json").json["items"]]

    assert listed_ids("анна") == [ann.user.id]
    assert listed_ids("+7 700 999") == [bob.user.id]
    assert listed_ids(bob.user.id) == [bob.user.id]
    assert listed_ids("bob", "--sync", "failed") == []
    assert listed_ids("nobody") == []
    assert leadline("users", "x" * 101).code == 2


# What happens right now?


def poll_steps(feed: event_feed.EventFeed) -> list[tuple[int, str]]:
    """User and name of each step that the feed reports next."""
    return [(step["user_id"], step["step"]) for step in feed.poll()]


def poll_until_caught_up(feed: event_feed.EventFeed) -> list[tuple[int, str]]:
    found = poll_steps(feed)
    while feed.is_behind:
        found += poll_steps(feed)
    return found


def test_each_step_of_a_write_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "PAGE", 2)
    create("before")
    feed = event_feed.EventFeed()
    assert poll_steps(feed) == []
    events = [create() for _ in range(5)]
    ids = [event.user.id for event in events]
    assert poll_until_caught_up(feed) == [(user_id, "accepted") for user_id in ids]
    assert poll_steps(feed) == []
    execute("UPDATE events SET published_at = now(), sendings = 1 WHERE user_id = 2")
    assert poll_until_caught_up(feed) == [(2, "published")]
    settle.apply([ReceivedReply(reply_to(event)) for event in events[1:]])
    settle.apply([ReceivedReply(failure(events[0]))])
    assert sorted(poll_until_caught_up(feed)) == [
        (2, "failed"),
        *((user_id, "synced") for user_id in ids[1:]),
    ]
    assert poll_steps(feed) == []


def test_a_feed_from_the_past_catches_up_in_pages_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began = datetime.now(UTC) - timedelta(minutes=1)
    events = [create() for _ in range(20)]
    # All at the same time, so that pages end between steps of one time.
    settle.apply([ReceivedReply(reply_to(event)) for event in events])
    monkeypatch.setattr(event_feed, "PAGE", 3)
    feed = event_feed.EventFeed(since=began)
    pages = [poll_steps(feed)]
    while feed.is_behind:
        pages.append(poll_steps(feed))
    assert len(pages) > 3
    ids = [event.user.id for event in events]
    items = list(chain.from_iterable(pages))
    assert [user for user, step in items if step == "accepted"] == ids
    assert sorted(user for user, step in items if step == "synced") == ids
    assert len(items) == 40
    assert poll_steps(feed) == []


def test_an_old_write_is_followed_to_its_outcome() -> None:
    old = create()
    execute("UPDATE events SET occurred_at = now() - interval '1 day'")
    long_ago = "00000000-0001-0000-0000-000000000000"  # an id begins with its time
    execute("UPDATE events SET id = CAST(:id AS uuid)", id=long_ago)
    feed = event_feed.EventFeed()
    assert poll_steps(feed) == []
    execute("UPDATE events SET state = 'failed', reason = 'x', due_at = NULL, settled_at = now()")
    assert poll_steps(feed) == [(old.user.id, "failed")]


def test_a_write_that_becomes_visible_late_is_not_missed() -> None:
    feed = event_feed.EventFeed()
    first = create()
    execute("UPDATE events SET occurred_at = now()")
    execute("CREATE TEMP TABLE late AS SELECT * FROM events")
    execute("DELETE FROM events")
    second = create()
    assert poll_steps(feed) == [(second.user.id, "accepted")]
    execute("INSERT INTO events SELECT * FROM late")
    assert poll_steps(feed) == [(first.user.id, "accepted")]


def test_the_steps_of_one_user_and_one_kind_can_be_followed(leadline: Leadline) -> None:
    ann, bob = create(), create()
    settle.apply([ReceivedReply(failure(ann, "no such stage")), ReceivedReply(reply_to(bob))])
    of_ann = leadline("tail", "--user", ann.user.id, "--since", "1h", "--limit", 2, "--json")
    assert (of_ann.code, [line["step"] for line in of_ann.lines]) == (0, ["accepted", "failed"])
    assert {line["user_id"] for line in of_ann.lines} == {ann.user.id}
    assert "Ann" not in of_ann.out.decode()
    assert "77001112233" not in of_ann.out.decode()
    text = leadline("tail", "--status", "failed", "--since", "1h", "--limit", 1).out.decode()
    assert f"failed      user {ann.user.id}  version 1" in text
    assert "no such stage" in text
    assert leadline("tail", "--status", "lost").code == 2
    assert leadline("tail", "--every", "0").code == 2


def test_a_resync_and_its_operator_are_shown_as_such(leadline: Leadline) -> None:
    event = create()
    settle.apply([ReceivedReply(reply_to(event))])
    leadline("resync", event.user.id)
    lines: list[dict[str, Any]] = leadline("tail", "--since", "1h", "--limit", 3, "--json").lines
    assert (lines[-1]["step"], lines[-1]["action"]) == ("accepted", "resync")
    assert "@" in lines[-1]["caller"]
