"""Messages of other senders: the required fields suffice, malformed ones harm no others."""

from itertools import count
from typing import Any

import pytest

from tests.faults import portal
from tests.faults.amqp_client import DEAD_REPLIES, DEAD_REQUESTS, AmqpClient
from tests.servers import eventually
from tests.system import System

#: Users that Postgres does not know, each used once.
_UNKNOWN = count(7_000_000)
_NO_SUCH_EVENT = "answers no event of this user"


pytestmark = pytest.mark.usefixtures("portal_in_order")


def _message(action: str, user: dict[str, Any], **extra: object) -> dict[str, Any]:
    pattern = {
        "create_card": "user_created",
        "update_card": "user_updated",
        "move_card": "user_moved",
    }.get(action, "user_deleted")
    data = {"action": action, "user": user, "replyQueue": "bitrix.responses", **extra}
    return {"pattern": pattern, "data": data}


def _stranger(**extra: object) -> dict[str, Any]:
    """A user of another sender, which Postgres does not know."""
    return {
        "id": next(_UNKNOWN),
        "full_name": "Кто Угодно",
        "phone": "+77001112233",
        "stage": "NEW",
        **extra,
    }


def _reply_to(amqp: AmqpClient, user_id: int, *, replies: int = 1) -> dict[str, Any]:
    """The last of this many replies; they are dead letters, since Postgres has no such user."""
    dead = amqp.await_messages(
        DEAD_REPLIES, lambda reply: _user_of(reply.content) == user_id, count=replies
    )
    assert all(_NO_SUCH_EVENT in delivered.reason for delivered in dead)
    assert all(delivered.headers["x-origin"] == "bitrix.responses" for delivered in dead)
    return dict(dead[-1].content)


def _user_of(content: object) -> object:
    return content.get("user_id") if isinstance(content, dict) else None


def test_a_message_with_only_the_required_fields_is_served(
    system: System, amqp: AmqpClient
) -> None:
    user = _stranger()
    amqp.publish(_message("create_card", user))
    reply = _reply_to(amqp, user["id"])
    lead = portal.lead_of(system, user["id"])
    assert portal.looks_like(lead, user)
    documented = {name: reply[name] for name in ("status", "action", "user", "user_id", "attempts")}
    assert documented == {
        "status": "success",
        "action": "create_card",
        "user": user,
        "user_id": user["id"],
        "attempts": 1,
    }
    assert reply["bitrix_lead_id"] == int(lead["ID"])


def test_messages_without_versions_count_in_order_of_arrival(
    system: System, amqp: AmqpClient
) -> None:
    user = _stranger(bitrix_lead_id=None)
    amqp.publish(_message("create_card", user))
    _reply_to(amqp, user["id"])
    later = {**user, "full_name": "Кто Другой", "phone": "+77009998877"}
    amqp.publish(_message("update_card", later))
    _reply_to(amqp, user["id"], replies=2)
    assert portal.looks_like(portal.lead_of(system, user["id"]), later)
    moved = {**later, "stage": "IN_PROCESS"}
    amqp.publish(_message("move_card", moved))
    _reply_to(amqp, user["id"], replies=3)
    assert portal.looks_like(portal.lead_of(system, user["id"]), moved)


def test_an_update_or_move_of_a_user_without_a_lead_creates_the_lead(
    system: System, amqp: AmqpClient
) -> None:
    for action in ("update_card", "move_card"):
        user = _stranger(stage="IN_PROCESS")
        amqp.publish(_message(action, user))
        assert _reply_to(amqp, user["id"])["status"] == "success"
        assert portal.looks_like(portal.lead_of(system, user["id"]), user)


@pytest.mark.parametrize(
    "properties",
    [
        {"message_id": "not-a-uuid"},
        {"message_id": "ж" * 100},
        {"message_id": "m" * 255, "correlation_id": "c" * 255},
        {"correlation_id": "\x01\x02\x7f"},
        {"content_type": "text/plain"},
        {"content_type": "application/cloudevents+json"},
        {"content_type": "application/json\r\nX-Evil: 1"},
        {"content_type": "ж"},
        {"headers": {"ce-specversion": "1.0"}},
        {"headers": {"ce-attempt": "nonsense", "traceparent": "nonsense", "ce-x": "\n\r\0"}},
        {"headers": {"ce-attempt": -5, "ce-attempt2": {"a": [1, 2]}, "x" * 200: "y" * 5000}},
        {"headers": {"ce-ж": "ж", "ce-with space": "1", "ce-": "2"}},
        {"priority": 255, "user_id": "leadline", "app_id": "чужой", "type": "\0", "reply_to": "x"},
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_valid_message_with_odd_properties_and_headers_reaches_its_end(
    system: System, amqp: AmqpClient, properties: dict[str, Any]
) -> None:
    """The message becomes a lead or a dead letter with a reason; the next one is served."""
    user, neighbour = _stranger(), _stranger()
    amqp.publish(_message("create_card", user), **properties)
    amqp.publish(_message("create_card", neighbour))
    _reply_to(amqp, neighbour["id"])

    def has_ended() -> bool:
        dead = [delivered for delivered in amqp.take(DEAD_REQUESTS) if delivered.reason]
        return bool(portal.leads_of(system, user["id"]) or dead)

    eventually(has_ended, 120, "the odd message is processed")
    assert len(portal.leads_of(system, user["id"])) <= 1


@pytest.mark.parametrize("phone", [{}, {"phone": None}, {"phone": ""}, {"phone": "   "}])
def test_a_message_without_a_phone_gets_one_error_and_no_call(
    system: System, amqp: AmqpClient, phone: dict[str, object]
) -> None:
    user = _stranger()
    del user["phone"]
    user |= phone
    before = system.control("GET", "calls")["requests"]
    amqp.publish(_message("create_card", user))
    neighbour = _stranger()
    amqp.publish(_message("create_card", neighbour))
    _reply_to(amqp, neighbour["id"])
    reply = _reply_to(amqp, user["id"])
    assert (reply["status"], reply["reason"]) == ("error", "Missing phone number")
    assert reply["user"] == {key: user[key] for key in ("id", "full_name", "stage")}
    assert reply["attempts"] == 1
    assert "bitrix_lead_id" not in reply
    mine = [
        message for message in amqp.take(DEAD_REPLIES) if _user_of(message.content) == user["id"]
    ]
    assert len(mine) == 1
    assert portal.leads_of(system, user["id"]) == []
    assert system.control("GET", "calls")["requests"] - before <= 2, "the other user's"


def _bad(**extra: object) -> dict[str, Any]:
    return _message("create_card", _stranger(), **extra)


#: Malformed messages, each with a part of the reason for which it is a dead letter.
_NONSENSE: dict[str, tuple[object, str]] = {
    "a foreign reply queue": (_bad(replyQueue="amq.rabbitmq.trace"), "replyQueue"),
    "our own queue as reply queue": (_bad(replyQueue="bitrix_queue"), "replyQueue"),
    "no reply queue": (_bad(replyQueue=None), "replyQueue"),
    "an unknown action": (_message("delete_card", _stranger()), "action"),
    "no user": (_message("create_card", {}), "user"),
    "a user without id": (_message("create_card", {"full_name": "А", "phone": "1"}), "user.id"),
    "an id that is a text": (_message("create_card", _stranger(id="x")), "user.id"),
    "an id of 30 digits": (_message("create_card", _stranger(id=10**30)), "user.id"),
    "a negative id": (_message("create_card", _stranger(id=-1)), "user.id"),
    "no name": (_message("create_card", _stranger(full_name="")), "full_name"),
    "an empty object": ({}, "missing or invalid"),
    "only a pattern": ({"pattern": "user_created"}, "missing or invalid"),
    "a list": ([1, 2], "not a JSON object"),
    "a number": (5, "not a JSON object"),
    "null": (None, "not a JSON object"),
    "nothing": (b"", "not valid JSON"),
    "no JSON": (b"not JSON", "not valid JSON"),
    "no UTF-8": (b'{"pattern": "\xff"}', "not valid JSON"),
    "NUL bytes": (b"\0" * 100, "not valid JSON"),
    "deep lists": (b"[" * 50_000, "not a valid CloudEvent"),
    # The reason depends on the depth that the JSON parser allows.
    "deep objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, ""),
    "a hundred kilobytes": (b'"' + b"x" * 100_000 + b'"', "bytes"),
}


def test_malformed_messages_are_dead_lettered_with_reasons_and_harm_no_other(
    system: System, amqp: AmqpClient
) -> None:
    neighbours: list[dict[str, Any]] = []
    for message, _ in _NONSENSE.values():
        amqp.publish(message, message_id=f"odd-{len(neighbours)}")
        neighbours.append(_stranger())
        amqp.publish(_message("create_card", neighbours[-1]))
    dead = amqp.await_messages(
        DEAD_REQUESTS, lambda request: bool(request.reason), count=len(_NONSENSE), within_s=120
    )
    reasons = {delivered.properties.message_id: delivered.reason for delivered in dead}
    assert len(dead) == len(_NONSENSE)
    for number, (name, (_, expected)) in enumerate(_NONSENSE.items()):
        assert expected in reasons[f"odd-{number}"], name
        assert "+7700" not in reasons[f"odd-{number}"], name
    assert all(delivered.headers["x-origin"] == "bitrix_queue" for delivered in dead)
    for neighbour in neighbours:
        _reply_to(amqp, neighbour["id"])
        assert portal.looks_like(portal.lead_of(system, neighbour["id"]), neighbour)


def test_a_request_on_the_reply_queue_is_a_dead_letter_and_creates_no_lead(
    system: System, amqp: AmqpClient
) -> None:
    user = _stranger()
    amqp.publish(_message("create_card", user), "bitrix.responses")
    dead = amqp.await_messages(DEAD_REPLIES, lambda reply: "data" in reply.content)
    assert "missing or invalid" in dead[0].reason
    assert portal.leads_of(system, user["id"]) == []
