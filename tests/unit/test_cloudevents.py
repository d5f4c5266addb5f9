"""A message as an event function receives it, and how the connector counts deliveries."""

import json
import time
from typing import Any

import pika
import pytest
from flask import Request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from leadline.connector.message import attempt_of
from leadline.errors import BadMessage, InvalidRequest
from leadline.messages import topology
from leadline.messages.attributes import HISTORY, cloudevent_headers, history_of
from leadline.messages.cloudevents import Delivery, receive
from leadline.runtime.telemetry import trace_context
from leadline.runtime.telemetry.trace_context import Trace
from tests.unit.conftest import Configure

BODY = {"pattern": "user_created", "data": {"n": "я"}}
BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "e-1",
    "ce-type": "leadline.user_created",
    "ce-source": "/leadline",
    "Content-Type": "application/json",
}


def request(body: Any, **headers: str) -> Request:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    builder = EnvironBuilder(method="POST", data=data, headers=Headers(headers))
    return Request(builder.get_environ())


def test_a_plain_json_post_is_accepted() -> None:
    (delivery,) = receive(request(BODY, **{"Content-Type": "application/json"}))
    assert (delivery.body, delivery.message_id) == (BODY, None)
    assert delivery.is_first


def test_a_binary_cloudevent_is_accepted_with_its_attributes() -> None:
    (delivery,) = receive(request(BODY, **BINARY, **{"ce-changed": "stage"}))
    assert (delivery.body, delivery.message_id) == (BODY, "e-1")
    assert delivery.attributes["changed"] == "stage"


def test_a_structured_cloudevent_is_accepted() -> None:
    event = {"specversion": "1.0", "id": "e-1", "type": "t", "source": "/s", "data": BODY}
    headers = {"Content-Type": "application/cloudevents+json"}
    (delivery,) = receive(request(event, **headers))
    assert (delivery.body, delivery.message_id) == (BODY, "e-1")


BATCH = {"Content-Type": "application/cloudevents-batch+json"}
EVENT = {"specversion": "1.0", "id": "e-1", "type": "t", "source": "/s", "data": BODY}
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_each_event_of_a_batch_is_a_separate_delivery() -> None:
    second = {**EVENT, "id": "e-2", "attempt": "3", "correlationid": "call", "traceparent": PARENT}
    first_delivery, second_delivery = receive(request([EVENT, second], **BATCH))
    assert (first_delivery.body, first_delivery.message_id, first_delivery.is_first) == (
        BODY,
        "e-1",
        True,
    )
    assert (second_delivery.body, second_delivery.message_id, second_delivery.is_first) == (
        BODY,
        "e-2",
        False,
    )
    assert second_delivery.trace == Trace("call", PARENT)
    assert first_delivery.trace.traceparent not in {PARENT, trace_context.current().traceparent}


def test_a_batch_may_be_empty() -> None:
    assert receive(request([], **BATCH)) == []


@pytest.mark.parametrize(
    "odd",
    [
        1,
        "x",
        None,
        [],
        {},
        {**EVENT, "specversion": "9"},
        {name: value for name, value in EVENT.items() if name != "type"},
    ],
)
def test_a_batch_with_an_invalid_event_is_rejected_as_a_whole(odd: object) -> None:
    with pytest.raises(BadMessage):
        receive(request([EVENT, odd], **BATCH))


def test_a_batch_must_be_an_array() -> None:
    with pytest.raises(BadMessage):
        receive(request(EVENT, **BATCH))


@given(st.dictionaries(st.sampled_from(["correlationid", "traceparent"]), st.integers()))
def test_an_invalid_trace_is_replaced(odd: dict[str, int]) -> None:
    (delivery,) = receive(request([{**EVENT, **odd}], **BATCH))
    assert delivery.trace.traceparent.startswith("00-")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"\x00", b"[" * 60_000, b'{"a":' * 20_000],
)
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        BINARY,
        {"Content-Type": "application/cloudevents+json"},
        BATCH,
    ],
)
def test_a_body_that_is_not_json_is_a_bad_message(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(BadMessage):
        receive(request(body, **headers))


#: What a form or script of any page can send without a preflight, and other invalid types.
OF_ANY_PAGE = [
    *("text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", ""),
    *("multipart/form-data; boundary=x", "text/plain; application/json", "text/plain; x=+json"),
    *("json", "application/jsonp", "text/json", "application/json, text/plain"),
]


@pytest.mark.parametrize("kind", OF_ANY_PAGE)
def test_only_json_and_cloudevents_are_accepted(kind: str) -> None:
    for body in (BODY, EVENT, [EVENT]):
        with pytest.raises(InvalidRequest) as refused:
            receive(request(body, **({"Content-Type": kind} if kind else {})))
        assert refused.value.status == 415


def test_a_binary_cloudevent_of_another_media_type_is_rejected_and_one_without_is_json() -> None:
    """RabbitmqSource adds no content type to a message without one, such as one of NestJS."""
    with pytest.raises(InvalidRequest):
        receive(request(BODY, **{**BINARY, "Content-Type": "text/plain"}))
    untyped = {name: value for name, value in BINARY.items() if name != "Content-Type"}
    (delivery,) = receive(request(BODY, **untyped))
    assert delivery.body == BODY


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_name_its_character_set(kind: str) -> None:
    (delivery,) = receive(request(BODY, **{"Content-Type": kind}))
    assert delivery.body == BODY


def test_a_history_in_the_future_is_a_bad_message() -> None:
    now_ms = int(time.time() * 1000)
    for history in (1, now_ms, now_ms + 3_600_000):
        assert history_of({HISTORY: str(history)}) == history
    for far in (now_ms + 2 * 86_400_000, 10**17):
        with pytest.raises(BadMessage, match="ce-history"):
            history_of({HISTORY: str(far)})


@pytest.mark.parametrize("missing", ["ce-id", "ce-type", "ce-source"])
def test_a_cloudevent_without_a_required_attribute_is_a_bad_message(missing: str) -> None:
    headers = {name: value for name, value in BINARY.items() if name != missing}
    with pytest.raises(BadMessage):
        receive(request(BODY, **headers))


@given(st.dictionaries(st.sampled_from(["changed", "resent", "attempt", "x"]), st.text(max_size=9)))
def test_only_the_first_publication_and_delivery_counts_as_first(found: dict[str, str]) -> None:
    is_first = Delivery(body={}, message_id=None, attributes=found).is_first
    assert is_first == ("resent" not in found and found.get("attempt", "1") == "1")


def test_attributes_are_cloudevents_headers() -> None:
    found = cloudevent_headers("leadline.reply", "e-1", "/leadline", "2026-01-31T12:00:00.000Z")
    assert found.pop("traceparent")
    assert found == {
        "ce-specversion": "1.0",
        "ce-type": "leadline.reply",
        "ce-id": "e-1",
        "ce-source": "/leadline",
        "ce-time": "2026-01-31T12:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("headers", "redelivered", "attempt"),
    [
        (None, False, 1),
        ({}, False, 1),
        ({}, True, 2),
        ({"ce-attempt": 3}, False, 3),
        ({"ce-attempt": 3}, True, 4),
        ({"ce-attempt": "7"}, False, 1),
        ({"ce-attempt": -1}, False, 1),
        ({"ce-attempt": None}, True, 2),
    ],
)
def test_a_delivery_counts_as_first_only_if_no_function_can_have_seen_the_message(
    headers: dict[str, Any] | None,
    redelivered: bool,  # noqa: FBT001
    attempt: int,
) -> None:
    properties = pika.BasicProperties(headers=headers)
    assert attempt_of(properties, is_redelivered=redelivered) == attempt


def test_dead_letters_exist_before_the_queue_that_sends_to_them() -> None:
    names = [queue.name for queue in topology.queues_of("bitrix_queue")]
    assert names == ["bitrix_queue.dead", "bitrix_queue"]


def test_queues_have_the_configured_type(configure: Configure) -> None:
    for kind in ("quorum", "classic"):
        configure(queue_type=kind)
        others = [queue for queue in topology.all_queues() if queue.is_auxiliary]
        # Each of the two main queues has one for dead letters, and one for each delay.
        assert len(others) == 2 * (1 + len(topology.RETRY_STEPS_S))
        assert {other.arguments["x-queue-type"] for other in others} == {kind}
    configure(queue_type="quorum")
    assert topology.main_queue("q").arguments["x-queue-type"] == "quorum"
    assert topology.main_queue("q").arguments["x-dead-letter-routing-key"] == "q.dead"


def test_a_classic_queue_is_declared_without_arguments(configure: Configure) -> None:
    configure(queue_type="classic")
    dead_letter_queue, main_queue = topology.queues_of("q")
    assert main_queue.arguments == {}
    assert dead_letter_queue.arguments == {"x-queue-type": "classic"}


def test_a_delayed_message_returns_to_its_queue_with_confirms() -> None:
    queues = topology.delay_queues("q")
    assert [queue.name for queue in queues] == [
        f"q.delay.{step}s" for step in topology.RETRY_STEPS_S
    ]
    for queue, step_s in zip(queues, topology.RETRY_STEPS_S, strict=True):
        assert queue.arguments == {
            "x-queue-type": "quorum",
            "x-message-ttl": step_s * 1000,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "q",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
