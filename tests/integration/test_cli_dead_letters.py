"""`leadline dead-letters`: listing loses nothing, and only an explicit discard deletes."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest

from leadline.connector import dead_letters
from leadline.connector.dead_letters import DeadLetter, Decision
from leadline.connector.message import ReceivedMessage, Verdict
from leadline.messages import topology
from tests.integration.conftest import CommandOutput
from tests.raw_properties import HOSTILE, RawProperties
from tests.servers import eventually

Leadline = Callable[..., CommandOutput]
QUEUE = topology.REQUESTS
DEAD = topology.dead_letter_name(QUEUE)
#: The id of no dead letter.
UNKNOWN_ID = "0" * 12
#: Neither JSON nor text.
UNREADABLE = b"\xff\x00\xfe" * 5


class Broker:
    """The broker as the connector and other clients use it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        for queue in topology.all_queues():
            self.channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
        for name in (topology.REQUESTS, topology.REPLIES):
            topology.declare(self.channel, topology.main_queue(name))

    def dead_letter(
        self, body: bytes, reason: str = "422 nonsense", queue: str = QUEUE, **properties: Any
    ) -> None:
        """Dead-letter a message as the connector does."""
        self.channel.basic_publish("", queue, body, pika.BasicProperties(**properties))
        method, got, content = self.channel.basic_get(queue)
        assert method
        assert got
        received = ReceivedMessage(
            self.channel, method.delivery_tag, queue, got, content or b"", attempt=3
        )
        copy = received.copy(Verdict(is_served=False, is_final=True, reason=reason))
        self.channel.basic_publish("", copy.queue, copy.body, copy.properties(), mandatory=True)
        self.channel.basic_ack(received.tag)

    def take(self, queue: str) -> list[tuple[pika.BasicProperties, bytes]]:
        """Take all messages off a queue."""
        found: list[tuple[pika.BasicProperties, bytes]] = []
        while True:
            method, properties, body = self.channel.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.append((properties, body))


@pytest.fixture
def broker(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setenv("AMQP_URL", amqp_url)
    broker = Broker(amqp_url)
    yield broker
    broker.connection.close()


def list_dead_letters(leadline: Leadline, *words: str) -> list[dict[str, Any]]:
    output = leadline("dead-letters", "list", "--json", *words)
    assert output.code == 0, output.err
    return list(output.json["dead_letters"])


def by_id(leadline: Leadline) -> dict[str, dict[str, Any]]:
    """The listed dead letters by id."""
    return {letter["id"]: letter for letter in list_dead_letters(leadline)}


@pytest.mark.parametrize("headers", HOSTILE.values(), ids=HOSTILE)
def test_a_malformed_dead_letter_does_not_hide_others_and_can_be_discarded(
    leadline: Leadline, broker: Broker, headers: bytes
) -> None:
    properties = RawProperties(message_id=b"\xff", correlation_id=b"\xfe", headers=headers)
    broker.channel.basic_publish("", DEAD, b"[" * 400 + b"]" * 400, properties)
    broker.dead_letter(b"{}", message_id="m-1")
    hostile, other = list_dead_letters(leadline)
    assert other["message_id"] == "m-1"
    output = leadline("dead-letters", "show", hostile["id"], "--json")
    assert (output.code, output.json["encoding"]) == (0, "text")
    assert leadline("dead-letters", "discard", hostile["id"], "--yes").code == 0
    assert list_dead_letters(leadline) == [other]


def test_a_replay_goes_to_its_own_queue_only_and_stays_there(
    leadline: Leadline, broker: Broker
) -> None:
    death_headers = {"x-reason": "422 no", "x-origin": QUEUE, "CC": [topology.REPLIES]}
    properties = pika.BasicProperties(headers=death_headers, expiration="60000")
    broker.channel.basic_publish("", DEAD, b"{}", properties)
    broker.take(topology.REPLIES)  # where CC has routed the message when we published it
    (found,) = list_dead_letters(leadline)
    assert leadline("dead-letters", "replay", found["id"]).code == 0
    ((properties, _),) = broker.take(QUEUE)
    assert properties.expiration is None
    assert broker.take(topology.REPLIES) == []


def test_a_dead_letter_is_found_right_after_another_list_has_fetched_it(
    leadline: Leadline, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.dead_letter(b"{}", message_id="m-1")
    (found,) = list_dead_letters(leadline)
    other = broker.connection.channel()
    other.basic_get(DEAD)

    def end_the_other_list(seconds: float) -> None:
        if other.is_open:
            other.close()
        broker.connection.process_data_events(seconds)

    monkeypatch.setattr("leadline.operations.dead_letters.time.sleep", end_the_other_list)
    output = leadline("dead-letters", "show", found["id"], "--json")
    assert (output.code, output.json["id"]) == (0, found["id"])


def test_showing_a_missing_dead_letter_fails_after_a_short_wait(
    leadline: Leadline, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.dead_letter(b"{}")
    waits: list[float] = []
    monkeypatch.setattr("leadline.operations.dead_letters.time.sleep", waits.append)
    assert leadline("dead-letters", "show", UNKNOWN_ID).code != 0
    assert sum(waits) == 1.5, "an id that another list may have fetched is searched again"
    assert leadline("dead-letters", "discard", UNKNOWN_ID, "--yes").code == 1
    assert sum(waits) == 3


@pytest.mark.parametrize(
    "headers",
    [
        {"x-died-at": 2**62},
        {"x-died-at": -(2**62)},
        {"x-death": []},
        {"x-death": [1]},
        {"x-death": [{"time": 2**62, "reason": 1}]},
        {"x-reason": "r" * 100_000, "ce-attempt": "many"},
    ],
)
def test_forged_death_headers_do_no_harm(
    leadline: Leadline, broker: Broker, headers: dict[str, Any]
) -> None:
    """RabbitMQ itself dead-letters messages without the connector's headers."""
    broker.channel.basic_publish("", DEAD, b"{}", pika.BasicProperties(headers=headers))
    (found,) = list_dead_letters(leadline)
    assert found["died_at"] is None
    assert len(found["reason"]) <= dead_letters.REASON_MAX
    assert leadline("dead-letters", "show", found["id"]).code == 0


def test_a_list_shows_reason_origin_time_attempts_id_and_size(
    leadline: Leadline, broker: Broker
) -> None:
    days = [time.strftime("%Y-%m-%d", time.gmtime())]
    broker.dead_letter(b'{"full_name": "Anna"}', message_id="m-1", correlation_id="call-1")
    broker.dead_letter(b"?", "422 no such event", topology.REPLIES)
    first, second = list_dead_letters(leadline)
    days.append(time.strftime("%Y-%m-%d", time.gmtime()))  # another one after midnight
    assert first.pop("died_at")[:10] in days
    assert first.pop("id") != second["id"]
    assert first.pop("reason_id") != second["reason_id"]
    assert first == {
        "queue": QUEUE,
        "reason": "422 nonsense",
        "attempts": 3,
        "bytes": 21,
        "message_id": "m-1",
        "correlation_id": "call-1",
    }
    assert (second["queue"], second["reason"]) == (topology.REPLIES, "422 no such event")
    for_people = leadline("dead-letters", "list").out.decode()
    assert "422 no such event" in for_people
    assert "Anna" not in for_people


def test_repeated_listing_loses_and_changes_nothing(leadline: Leadline, broker: Broker) -> None:
    for number in range(5):
        broker.dead_letter(b"%d" % number)
    before = by_id(leadline)
    for _ in range(25):  # RabbitMQ 4 drops after 20 deliveries unless configured otherwise
        dead_letters.walk(broker.url, lambda _: Decision.KEEP, [QUEUE])
    # RabbitMQ requeues listed messages a moment later; listing before that changes the order.
    eventually(lambda: by_id(leadline) == before, 60, "all are back in the queue")
    bodies: list[bytes] = []

    def are_all_taken() -> bool:
        bodies.extend(body for _, body in broker.take(DEAD))
        return len(bodies) >= 5

    eventually(are_all_taken, 60, "all are taken")
    assert sorted(bodies) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_dead_letter_is_shown_in_full(leadline: Leadline, broker: Broker) -> None:
    broker.dead_letter(b'{"a": [1]}', headers={"ce-id": "7"}, content_type="application/json")
    broker.dead_letter(UNREADABLE)
    as_json, unreadable = (letter["id"] for letter in list_dead_letters(leadline))
    details = leadline("dead-letters", "show", as_json, "--json").json
    assert (details["encoding"], details["body"], details["headers"]["ce-id"]) == (
        "json",
        {"a": [1]},
        "7",
    )
    details = leadline("dead-letters", "show", unreadable, "--json").json
    assert (details["encoding"], base64.b64decode(details["body"])) == ("base64", UNREADABLE)
    assert leadline("dead-letters", "show", unreadable, "--raw").out == UNREADABLE
    assert leadline("dead-letters", "show", UNKNOWN_ID).code == 1


def test_a_replay_resets_the_attempts_and_says_that_the_message_may_have_been_processed(
    leadline: Leadline, broker: Broker
) -> None:
    broker.dead_letter(b"one", message_id="m-1", headers={"ce-id": "1", "ce-changed": "phone"})
    broker.dead_letter(b"two")
    dead_letter_id = list_dead_letters(leadline)[0]["id"]
    assert leadline("dead-letters", "replay", dead_letter_id, "--json").json["replayed"] == 1
    ((properties, body),) = broker.take(QUEUE)
    assert (body, properties.message_id, properties.delivery_mode) == (b"one", "m-1", 2)
    properties.headers.pop("x-delivery-count", None)  # RabbitMQ's own
    assert properties.headers == {"ce-id": "1", "ce-changed": "phone", "ce-resent": "true"}
    assert [body for _, body in broker.take(DEAD)] == [b"two"]


def test_dead_letters_are_replayed_by_reason_or_all(leadline: Leadline, broker: Broker) -> None:
    broker.dead_letter(b"a", "422 nonsense")
    broker.dead_letter(b"b", "503 busy")
    broker.dead_letter(b"c", "503 busy", topology.REPLIES)
    assert leadline("dead-letters", "replay").code == 2, "without a choice nothing is replayed"
    assert leadline("dead-letters", "replay", "--reason", "503", "--yes").code == 0
    assert [body for _, body in broker.take(QUEUE)] == [b"b"]
    assert [body for _, body in broker.take(topology.REPLIES)] == [b"c"]
    leadline("dead-letters", "replay", "--all", "--yes")
    assert [body for _, body in broker.take(QUEUE)] == [b"a"]
    assert list_dead_letters(leadline) == []


def test_the_largest_and_unreadable_bodies_are_replayed_unchanged(
    leadline: Leadline, broker: Broker
) -> None:
    large = json.dumps({"x": "ы" * 60_000}, ensure_ascii=False).encode()
    broker.dead_letter(large)
    broker.dead_letter(UNREADABLE)
    assert [letter["bytes"] for letter in list_dead_letters(leadline)] == [
        len(large),
        len(UNREADABLE),
    ]
    leadline("dead-letters", "replay", "--all", "--yes")
    assert [body for _, body in broker.take(QUEUE)] == [large, UNREADABLE]


def test_a_dead_letter_whose_queue_is_gone_stays(leadline: Leadline, broker: Broker) -> None:
    broker.dead_letter(b"one")
    broker.channel.queue_delete(QUEUE)
    output = leadline("dead-letters", "replay", "--all", "--yes")
    assert output.code == 3
    assert QUEUE in output.err
    assert len(list_dead_letters(leadline)) == 1


def test_an_interrupted_replay_loses_no_dead_letter(leadline: Leadline, broker: Broker) -> None:
    for body in (b"one", b"two", b"three"):
        broker.dead_letter(body)

    def decide(dead_letter: DeadLetter) -> Decision:
        if dead_letter.body == b"two":
            raise KeyboardInterrupt
        return Decision.REPLAY

    with pytest.raises(KeyboardInterrupt):
        dead_letters.walk(broker.url, decide, [QUEUE])
    assert [body for _, body in broker.take(QUEUE)] == [b"one"]
    assert len(list_dead_letters(leadline)) == 2


def test_discard_asks_for_confirmation(leadline: Leadline, broker: Broker) -> None:
    broker.dead_letter(b"one", "422 one")
    broker.dead_letter(b"two", "422 two")
    output = leadline("dead-letters", "discard", "--all", typed="n\n")
    assert (output.code, "Discard 2 dead letters" in output.err) == (2, True)
    output = leadline("dead-letters", "discard", list_dead_letters(leadline)[0]["id"])
    assert (output.code, "--yes" in output.err) == (2, True), "without a terminal it can't ask"
    assert len(list_dead_letters(leadline)) == 2
    assert leadline("dead-letters", "discard", "--reason", "one", typed="y\n").code == 0
    assert [letter["reason"] for letter in list_dead_letters(leadline)] == ["422 two"]
    assert leadline("dead-letters", "discard", "--all", "--yes").code == 0
    output = leadline("dead-letters", "discard", "--all")
    assert (output.code, output.out) == (0, b"discarded: 0\n"), "for none, nothing is asked"
    assert leadline("dead-letters", "discard", UNKNOWN_ID).code == 1
    assert list_dead_letters(leadline) == []
    assert broker.take(QUEUE) == []


def test_a_replay_of_dead_letters_not_named_by_id_asks_for_confirmation(
    leadline: Leadline, broker: Broker
) -> None:
    assert leadline("dead-letters", "replay", "--all").code == 0, "for none, nothing is asked"
    broker.dead_letter(b"one", "422 one")
    broker.dead_letter(b"two", "422 two")
    for typed in (None, "n\n"):
        output = leadline("dead-letters", "replay", "--reason", "422", typed=typed)
        assert (output.code, "Replay 2 dead letters" in output.err) == (2, True)
    assert len(list_dead_letters(leadline)) == 2
    output = leadline("dead-letters", "replay", "--reason", "one", "--json", typed="y\n")
    assert (output.code, output.json) == (0, {"replayed": 1, "not_found": []})
    assert [letter["reason"] for letter in list_dead_letters(leadline)] == ["422 two"]
    assert [body for _, body in broker.take(QUEUE)] == [b"one"]


def test_an_unknown_id_is_reported(leadline: Leadline, broker: Broker) -> None:
    broker.dead_letter(b"one")
    dead_letter_id = list_dead_letters(leadline)[0]["id"]
    output = leadline("dead-letters", "replay", dead_letter_id, UNKNOWN_ID, "--json")
    assert (output.code, output.json) == (1, {"replayed": 1, "not_found": [UNKNOWN_ID]})


def test_a_message_dead_lettered_by_rabbitmq_is_listed_with_its_reason(
    leadline: Leadline, broker: Broker
) -> None:
    broker.channel.basic_publish("", QUEUE, b"one", pika.BasicProperties())
    method, _, _ = broker.channel.basic_get(QUEUE)
    assert method
    broker.channel.basic_reject(method.delivery_tag, requeue=False)
    found: list[dict[str, Any]] = []
    while not found:
        found = list_dead_letters(leadline)
    assert (found[0]["reason"], found[0]["queue"]) == ("rejected", QUEUE)
    assert found[0]["died_at"]


def test_an_unreachable_broker_is_reported_without_its_address(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    monkeypatch.setenv("AMQP_URL", f"amqp://someone:geheim@127.0.0.1:{free_port()}/")
    output = leadline("dead-letters", "list")
    assert (output.code, output.err) == (3, "leadline: RabbitMQ can't be reached\n")
