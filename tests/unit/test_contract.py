"""The two messages on the wire: requests and replies."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.errors import BadMessage
from leadline.messages import contract
from tests.unit.conftest import Configure

EVENT = "01990000-0000-7000-8000-000000000001"


def message(**extra: Any) -> dict[str, Any]:
    """A request with the required fields, and `extra` in its data."""
    user = {"id": 123, "full_name": "Иван Иванов", "phone": "+77001112233", "stage": "NEW"}
    data = {"action": "create_card", "user": user, "replyQueue": "bitrix.responses", **extra}
    return {"pattern": "user_created", "data": data}


def reply(**extra: Any) -> dict[str, Any]:
    content = {"status": "success", "action": "create_card", "user_id": 123, "bitrix_lead_id": 456}
    return {**content, **extra}


def test_a_request_is_written_exactly_as_documented() -> None:
    user = {"id": 123, "full_name": "Иван Иванов", "phone": "+77001112233", "stage": "NEW"}
    body = contract.request_body(
        "create_card",
        {**user, "bitrix_lead_id": None},
        "bitrix.responses",
        {"event_id": EVENT, "version": 1, "occurred_at": "2026-01-31T12:00:00.000Z"},
    )
    documented = {
        "pattern": "user_created",
        "data": {
            "action": "create_card",
            "user": {
                "id": 123,
                "full_name": "Иван Иванов",
                "phone": "+77001112233",
                "stage": "NEW",
                "bitrix_lead_id": None,
            },
            "replyQueue": "bitrix.responses",
            "event_id": EVENT,
            "version": 1,
            "occurred_at": "2026-01-31T12:00:00.000Z",
        },
    }
    expected = json.dumps(documented, ensure_ascii=False, separators=(",", ":"))
    assert body.decode() == expected


@given(st.timezones(), st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001
def test_a_time_is_written_in_utc_whatever_time_zone_the_database_uses(
    zone: timezone, moment: datetime
) -> None:
    text = contract.timestamp(moment.replace(tzinfo=zone))
    assert text.endswith("Z")
    assert len(text) == len("2026-01-31T12:00:00.000Z")
    back = datetime.fromisoformat(text)
    assert abs(back - moment.replace(tzinfo=zone)) < timedelta(milliseconds=1)


def test_a_request_with_only_the_required_fields_is_read() -> None:
    request = contract.read_request(message())
    assert (request.action, request.user.id, request.user.stage) == ("create_card", 123, "NEW")
    assert (request.event_id, request.version) == (None, None)


def test_a_written_message_is_read_back() -> None:
    body = contract.request_body(
        "move_card",
        {"id": 123, "full_name": "V", "phone": None, "stage": "NEW", "bitrix_lead_id": 7},
        "bitrix.responses",
        {"event_id": EVENT, "version": 3, "occurred_at": "2026-01-31T12:00:00.000Z"},
    )
    request = contract.read_request(json.loads(body))
    assert (request.action, request.user.id, request.user.bitrix_lead_id) == ("move_card", 123, 7)
    assert (str(request.event_id), request.version) == (EVENT, 3)
    assert request.occurred_at == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_unknown_fields_are_ignored() -> None:
    body = {**message(shoe_size=44), "id": "nest"}
    body["data"]["user"]["nickname"] = "V"
    assert contract.read_request(body) == contract.read_request(message())
    assert contract.read_reply(reply(pid=1)) == contract.read_reply(reply())


def test_a_user_without_a_phone_is_read_and_answered_later() -> None:
    for phone in ({}, {"phone": None}, {"phone": ""}, {"phone": "  "}):
        user = {"id": 1, "full_name": "Ann", **phone}
        assert contract.read_request(message(user=user)).user.phone is None


def test_a_reply_is_read_plain_and_in_the_nestjs_envelope() -> None:
    enveloped = {"pattern": "bitrix.responses", "data": reply()}
    assert contract.read_reply(enveloped) == contract.read_reply(reply())


def test_a_reply_is_written_in_the_envelope_that_the_setting_names(configure: Configure) -> None:
    assert json.loads(contract.reply_body(reply(), "bitrix.responses")) == reply()
    configure(reply_envelope="nestjs")
    enveloped = {"pattern": "bitrix.responses", "data": reply()}
    assert json.loads(contract.reply_body(reply(), "bitrix.responses")) == enveloped


def test_only_allowed_reply_queues_are_used(configure: Configure) -> None:
    with pytest.raises(BadMessage):
        contract.read_request(message(replyQueue="payroll"))
    configure(reply_queues="payroll, other")
    assert contract.read_request(message(replyQueue="payroll")).reply_queue == "payroll"
    with pytest.raises(BadMessage):
        contract.read_request(message())


SECRET = "Ivanka Petrova +77005556677"  # noqa: S105 - of a test
NONSENSE: list[Any] = [
    None,
    [],
    SECRET,
    7,
    {},
    {"pattern": "user_created"},
    {"pattern": "user_created", "data": None},
    {"pattern": "user_created", "data": [SECRET]},
    message(action=SECRET),
    message(user=None),
    message(user={"id": 0, "full_name": SECRET}),
    message(user={"id": 2**63, "full_name": SECRET}),
    message(user={"id": SECRET, "full_name": "a"}),
    message(user={"id": 1, "full_name": ""}),
    message(user={"id": 1, "full_name": SECRET * 99}),
    message(user={"id": 1, "full_name": SECRET + "\ud800"}),
    message(user={"id": 1, "full_name": "a", "phone": SECRET * 99}),
    message(replyQueue=[SECRET]),
    message(event_id=SECRET),
    message(version=-1),
    message(version=10**9 + 1),
    message(version=2**63 - 1),
    message(occurred_at=SECRET),
]


def test_an_impossible_version_is_rejected_with_the_bound() -> None:
    """Above it the work queue's numbers are inexact (put.lua), and no real version could follow."""
    assert contract.MAX_VERSION * 1_000_000 + 999_999 < 2**53
    assert contract.read_request(message(version=contract.MAX_VERSION)).version == 10**9
    with pytest.raises(BadMessage, match=r"version .* 1000000000"):
        contract.read_request(message(version=contract.MAX_VERSION + 1))


@pytest.mark.parametrize("body", NONSENSE)
def test_a_malformed_message_is_a_bad_message_that_quotes_no_value(body: object) -> None:
    for read in (contract.read_request, contract.read_reply):
        with pytest.raises(BadMessage) as caught:
            read(body)
        assert "Ivanka" not in str(caught.value)
        assert "7700" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "maybe"},
        {"bitrix_lead_id": None},
        {"bitrix_lead_id": -1},
        {"user_id": "x"},
        {"attempts": -1},
        {"attempts": 2**31},
        {"reason": {"message": "no"}},
    ],
)
def test_a_reply_that_could_not_be_stored_is_a_bad_message(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        contract.read_reply(reply(**wrong))


def test_an_error_reply_needs_no_lead() -> None:
    read = contract.read_reply(reply(status="error", bitrix_lead_id=None, reason="no"))
    assert (read.status, read.reason) == ("error", "no")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("a\x00b", "a b"),
        ("a\nb\x7f\x9bc", "a b  c"),
        ("a\ud800b", "a?b"),
        ("я" * 1000, "я" * 1000),
        ("я" * 1001, "я" * 999 + "…"),
        ("x" * 100_000, "x" * 999 + "…"),
    ],
)
def test_a_reply_with_any_reason_is_read(sent: str, reason: str) -> None:
    read = contract.read_reply(reply(status="error", reason=sent))
    assert read.reason == reason


def identity(message_id: str | None = None, **extra: Any) -> str:
    return contract.read_request(message(**extra)).identity(message_id)


def test_a_derived_event_id_is_the_same_for_the_same_content_only() -> None:
    assert identity() == identity() == identity(shoe_size=44)
    others = {
        identity(action="update_card"),
        identity(user={"id": 123, "full_name": "Иван", "phone": "+77001112233", "stage": "NEW"}),
        identity(user={"id": 124, "full_name": "Иван Иванов", "phone": "+77001112233"}),
    }
    assert len(others | {identity()}) == 4


def test_a_derived_event_id_is_a_uuid_of_version_8() -> None:
    derived = UUID(identity())
    assert (derived.version, derived.variant) == (8, "specified in RFC 4122")


def test_an_event_id_is_taken_from_the_body_or_the_message_or_derived() -> None:
    assert identity("m-1", event_id=EVENT) == EVENT
    assert identity("m-1") == "m-1"
    assert identity("") == identity()


@pytest.mark.parametrize("odd", ["x" * 129, "я" * 128, "a\ud800", "a\nb"])
def test_a_message_id_that_amqp_could_not_return_is_not_used(odd: str) -> None:
    assert identity(odd) == identity()
