"""The messages on the wire are exactly what docs/reference.md says."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jsonschema
import pytest
import requests

from tests.faults import portal
from tests.faults.amqp_client import (
    DEAD_REPLIES,
    REPLIES,
    REQUESTS,
    AmqpClient,
    ReceivedMessage,
    held_back,
)
from tests.servers import eventually
from tests.system import CHECKOUT, System

TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


pytestmark = pytest.mark.usefixtures("portal_in_order")


def test_each_write_is_published_as_the_contract_says(system: System, amqp: AmqpClient) -> None:
    trace = f"00-{'a1' * 16}-{'b2' * 8}-01"
    with held_back(system, amqp):
        before = datetime.now(UTC)
        user = system.create("Иван Иванов", "+77001112233")
        path = f"/users/{user['id']}"
        headers = {"X-Call-Id": "the-call-of-the-update", "traceparent": trace}
        system.request("PATCH", path, json={"full_name": "Пётр"}, headers=headers)
        system.request("POST", f"{path}/move", json={"stage": "PROCESSED"})
        messages = amqp.await_messages(REQUESTS, _of_user(user["id"]), count=3)
        for delivered in messages:
            amqp.send_back(delivered, REQUESTS)
    # Three functions have published; their order is undefined.
    messages.sort(key=lambda delivered: int(delivered.content["data"]["version"]))
    moved = {"id": user["id"], "full_name": "Пётр", "phone": "+77001112233", "stage": "PROCESSED"}
    states = [user, {**moved, "stage": "NEW"}, moved]
    kinds = [
        ("user_created", "create_card"),
        ("user_updated", "update_card"),
        ("user_moved", "move_card"),
    ]
    for version, (delivered, state, (pattern, action)) in enumerate(
        zip(messages, states, kinds, strict=True), start=1
    ):
        data = delivered.content["data"]
        assert delivered.content == {
            "pattern": pattern,
            "data": {
                "action": action,
                "user": {**state, "bitrix_lead_id": None},
                "replyQueue": "bitrix.responses",
                "event_id": data["event_id"],
                "version": version,
                "occurred_at": data["occurred_at"],
            },
        }
        assert UUID(data["event_id"]).version == 7
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", data["occurred_at"])
        occurred_at = datetime.fromisoformat(data["occurred_at"])
        assert before - timedelta(seconds=1) < occurred_at < datetime.now(UTC)
        _assert_enveloped(delivered, data["event_id"], f"leadline.{pattern}", data["occurred_at"])
    assert "Иван Иванов".encode() in messages[0].body, "UTF-8, not escaped"
    update = messages[1]
    assert update.properties.correlation_id == "the-call-of-the-update"
    assert update.headers["traceparent"].split("-")[1] == "a1" * 16
    system.await_synced(user["id"], within_s=120)


def test_a_reply_is_published_as_the_contract_says(system: System, amqp: AmqpClient) -> None:
    """The connector is frozen, so the event is posted to its function by hand."""
    with held_back(system, amqp):
        user = system.create("Иван Иванов", "+77001112233")
        request = amqp.await_messages(REQUESTS, _of_user(user["id"]))[0]
        handler = system.run["functions"]["bitrix-handler"]
        headers = {"Content-Type": "application/json"}
        requests.post(handler, data=request.body, headers=headers, timeout=60).raise_for_status()
        reply = amqp.await_messages(REPLIES, lambda reply: reply.content["user_id"] == user["id"])[
            0
        ]
        amqp.send_back(reply, REPLIES)
    event_id = request.content["data"]["event_id"]
    lead = portal.lead_of(system, user["id"])
    content = dict(reply.content)
    assert [call["method"] for call in content.pop("calls")] == ["crm.item.add"]
    assert content == {
        "status": "success",
        "action": "create_card",
        "user": user,
        "user_id": user["id"],
        "bitrix_lead_id": int(lead["ID"]),
        "attempts": 1,
        "event_id": event_id,
        "version": 1,
    }
    _assert_enveloped(reply, event_id, "leadline.reply", time=None)
    assert system.await_synced(user["id"])["sync"]["bitrix_lead_id"] == int(lead["ID"])


def test_every_queue_is_durable_and_has_a_dead_letter_queue(
    system: System, amqp: AmqpClient
) -> None:
    found = _queues(system)
    for name in (REQUESTS, REPLIES, f"{REQUESTS}.dead", f"{REPLIES}.dead"):
        assert found[name]["durable"], name
        assert found[name]["type"] == "quorum", name
    for name in (REQUESTS, REPLIES):
        assert found[name]["arguments"]["x-dead-letter-routing-key"] == f"{name}.dead"
    assert amqp.consumers(REQUESTS) == 1


@pytest.mark.parametrize("envelope", ["nestjs", "plain"])
def test_a_reply_of_a_foreign_service_is_accepted_in_either_envelope(
    system: System, amqp: AmqpClient, envelope: str
) -> None:
    """An existing bitrix service answers with the required fields only, in order."""
    with held_back(system, amqp):
        user = system.create("Чужой Ответ")
        amqp.await_messages(REQUESTS, _of_user(user["id"]))  # for their service to receive it
    reply: dict[str, Any] = {
        "status": "success",
        "action": "create_card",
        "user": user,
        "user_id": user["id"],
        "bitrix_lead_id": 10**9 + user["id"],
    }
    message = {"pattern": REPLIES, "data": reply} if envelope == "nestjs" else reply
    amqp.publish(message, REPLIES)
    assert system.await_synced(user["id"])["sync"]["bitrix_lead_id"] == 10**9 + user["id"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"\xff not JSON", "not valid JSON"),
        (b"[" * 20_000, "not a valid CloudEvent"),
        (["a", "list"], "not a JSON object"),
        ({"pattern": REPLIES}, "missing or invalid"),
        ({"status": "success", "action": "create_card", "user_id": 1}, "names no bitrix_lead_id"),
        ({"status": "maybe", "action": "create_card", "user_id": 1}, "status"),
        (
            {"status": "error", "action": "create_card", "user_id": 10**15, "event_id": "x"},
            "no event of this user",
        ),
        (b'{"a": "' + b"x" * 100_000 + b'"}', "bytes"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_malformed_reply_is_dead_lettered_with_its_reason_and_harms_no_other(
    system: System, amqp: AmqpClient, reply: object, reason: str
) -> None:
    amqp.publish(reply, REPLIES)
    user = system.create("Сосед Чепухи")
    dead = amqp.await_messages(DEAD_REPLIES, lambda _: True, within_s=120)
    assert len(dead) == 1
    assert reason in dead[0].reason
    system.await_synced(user["id"])


def _of_user(user_id: int) -> Any:
    """A condition: the message is a request of this user."""
    return lambda delivered: delivered.content["data"]["user"]["id"] == user_id


def _assert_enveloped(
    delivered: ReceivedMessage, event_id: str, kind: str, time: str | None
) -> None:
    """The message has the properties and headers of its CloudEvent; `time` None: any time."""
    _assert_described(delivered, "reply" if kind == "leadline.reply" else "request")
    properties = delivered.properties
    assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)
    assert properties.message_id == event_id
    assert properties.correlation_id
    headers = delivered.headers
    expected = {"ce-specversion": "1.0", "ce-id": event_id, "ce-type": kind}
    assert {name: headers.get(name) for name in expected} == expected
    assert headers["ce-source"]
    if time is not None:
        assert headers.get("ce-time") == time
    assert TRACE.fullmatch(headers["traceparent"])


def _assert_described(delivered: ReceivedMessage, name: str) -> None:
    """The message conforms to the published document, docs/asyncapi.json."""
    document = json.loads((CHECKOUT / "docs/asyncapi.json").read_text("utf-8"))
    message = document["components"]["messages"][name]
    for found, schema in (
        (delivered.content, message["payload"]),
        (dict(delivered.headers), message["headers"]),
    ):
        jsonschema.validate(found, {**schema, "components": document["components"]})


def _queues(system: System) -> dict[str, dict[str, Any]]:
    scheme, _, rest = system.url("amqp").partition("://")
    assert scheme == "amqp"
    user, _, password = rest.partition("@")[0].partition(":")
    api = f"{system.url('rabbitmq_management')}/api/queues"
    found: dict[str, dict[str, Any]] = {}

    def is_listed() -> bool:
        queues = requests.get(api, auth=(user, password), timeout=60).json()
        found.update({queue["name"]: queue for queue in queues})
        return REPLIES in found

    eventually(is_listed, 120, "the broker lists its queues")
    return found
