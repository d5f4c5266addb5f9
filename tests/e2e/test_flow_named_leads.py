"""Leads without an origin that a message names: adopted only if the name or phone matches."""

from itertools import count
from typing import Any

import pytest

from tests.faults import portal
from tests.faults.amqp_client import DEAD_REPLIES, AmqpClient
from tests.system import System

#: Users that Postgres does not know, each used once.
_UNKNOWN = count(8_000_000)


pytestmark = pytest.mark.usefixtures("portal_in_order")


@pytest.fixture
def lead(system: System) -> dict[str, Any]:
    """A lead as a person or another program creates it."""
    fields = {"TITLE": "Заявка с сайта", "PHONE": [{"VALUE": "8 (701) 555-66-77"}]}
    lead_id = portal.call(system, "crm.lead.add", fields=fields)
    return _read(system, int(lead_id))


def _read(system: System, lead_id: int) -> dict[str, Any]:
    return dict(portal.call(system, "crm.lead.get", id=lead_id))


def _send_and_await_reply(
    amqp: AmqpClient, user: dict[str, Any], replies: int = 1
) -> dict[str, Any]:
    """Send the user's state; returns the last of this many replies to the user's messages.

    Replies are dead letters, as Postgres does not know the user.
    """
    data = {"action": "update_card", "user": user, "replyQueue": "bitrix.responses"}
    amqp.publish({"pattern": "user_updated", "data": data})

    def is_reply(content: Any) -> bool:
        return isinstance(content, dict) and content.get("user_id") == user["id"]

    dead = amqp.await_messages(DEAD_REPLIES, lambda reply: is_reply(reply.content), count=replies)
    return dict(dead[-1].content)


def _user(lead: dict[str, Any], full_name: str, phone: str) -> dict[str, Any]:
    return {
        "id": next(_UNKNOWN),
        "full_name": full_name,
        "phone": phone,
        "stage": "NEW",
        "bitrix_lead_id": int(lead["ID"]),
    }


def test_a_strangers_lead_is_neither_disclosed_nor_written(
    system: System, amqp: AmqpClient, lead: dict[str, Any]
) -> None:
    user = _user(lead, "Чужой Человек", "+77019998877")
    reply = _send_and_await_reply(amqp, user)
    assert reply["status"] == "error"
    assert f"lead {lead['ID']} has no origin" in reply["reason"]
    assert lead["TITLE"] not in reply["reason"]
    assert _read(system, int(lead["ID"])) == lead
    assert portal.leads_of(system, user["id"]) == []


def test_a_refused_lead_is_adopted_once_a_person_has_corrected_it(
    system: System, amqp: AmqpClient, lead: dict[str, Any]
) -> None:
    user = _user(lead, "Новый Клиент", "+77018887766")
    assert _send_and_await_reply(amqp, user)["status"] == "error"
    portal.call(system, "crm.lead.update", id=lead["ID"], fields={"NAME": "Новый Клиент"})
    assert _send_and_await_reply(amqp, user, replies=2)["bitrix_lead_id"] == user["bitrix_lead_id"]
    assert portal.lead_of(system, user["id"])["TITLE"] == "Новый Клиент"


def test_a_lead_with_the_users_phone_is_adopted_and_gets_its_origin(
    system: System, amqp: AmqpClient, lead: dict[str, Any]
) -> None:
    user = _user(lead, "Анна Ли", "+77015556677")
    assert _send_and_await_reply(amqp, user)["bitrix_lead_id"] == user["bitrix_lead_id"]
    assert portal.looks_like(portal.lead_of(system, user["id"]), user)
    # It is found by its origin, though name and phone differ and no message names it.
    other = {**user, "full_name": "Анна Новая", "phone": "+77012223344", "bitrix_lead_id": None}
    assert _send_and_await_reply(amqp, other, replies=2)["bitrix_lead_id"] == user["bitrix_lead_id"]
    assert portal.looks_like(portal.lead_of(system, user["id"]), other)
