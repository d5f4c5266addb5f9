"""The envelope of a message from RabbitMQ to a function, alone or in a batch."""

from typing import Any
from unittest.mock import Mock

import orjson
import pika
import pytest
from flask import Request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from leadline.connector import envelope
from leadline.connector.message import ReceivedMessage
from leadline.messages.attributes import cloudevent_headers
from leadline.messages.cloudevents import Delivery, receive
from leadline.runtime.telemetry import trace_context

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_AUTH", "off")


def received_message(body: bytes = b"{}", **properties: Any) -> ReceivedMessage:
    return ReceivedMessage(Mock(), 1, "q", pika.BasicProperties(**properties), body, attempt=1)


def receive_by_http(body: bytes, headers: dict[str, str]) -> list[Delivery]:
    """The deliveries that a function reads from this request."""
    builder = EnvironBuilder(method="POST", data=body, headers=Headers(headers))
    request = Request(builder.get_environ())
    trace_context.begin(request.headers.get("X-Call-Id"), request.headers.get("traceparent"))
    return receive(request)


def receive_in_batch(*messages: ReceivedMessage) -> list[Delivery]:
    body = orjson.dumps([envelope.cloud_event(message) for message in messages])
    return receive_by_http(body, envelope.batch_headers())


OURS = cloudevent_headers("leadline.reply", "e-1", "/leadline", "2026-01-31T12:00:00.000Z")
TEXTS = st.text(max_size=9) | st.sampled_from(["a\r\nb: c", "я", '"\\', "-", PARENT])
HEADERS = st.dictionaries(
    st.sampled_from(
        ["ce-changed", "ce-attempt", "ce-resent", "ce-x", "x", "ce-я", "traceparent", "ce-data"]
    ),
    TEXTS | st.integers() | st.none(),
)


@given(
    content=st.dictionaries(st.text(max_size=5), TEXTS),
    headers=HEADERS,
    base=st.sampled_from([OURS, {"traceparent": PARENT}]),
    message_id=st.none() | TEXTS,
    correlation_id=st.none() | TEXTS,
)
def test_a_message_is_the_same_in_a_batch_and_alone(
    content: dict[str, str],
    headers: dict[str, Any],
    base: dict[str, str],
    message_id: str | None,
    correlation_id: str | None,
) -> None:
    message = received_message(
        orjson.dumps(content),
        headers={**base, **headers},
        message_id=message_id,
        correlation_id=correlation_id,
    )
    (alone,) = receive_by_http(message.body, envelope.single_headers(message))
    first, second = receive_in_batch(message, message)
    assert first.body == second.body == alone.body == content
    assert first.message_id == alone.message_id
    assert first.is_first == alone.is_first
    for name in ("changed", "attempt", "resent", "x"):
        assert first.attributes.get(name, "").strip() == alone.attributes.get(name, "").strip()
    if headers.get("traceparent", PARENT) == PARENT:
        assert first.trace.correlation_id == alone.trace.correlation_id


@pytest.mark.parametrize(
    "odd",
    [
        received_message(b"nonsense"),
        received_message(b""),
        received_message(b'{},{"specversion": "1.0"}'),
        received_message(b"[" * 60_000),
        received_message(content_type="application/cloudevents+json"),
        received_message(content_type="text/plain"),
        received_message(
            headers={"ce-specversion": "0.3", "ce-id": "1", "ce-type": "t", "ce-source": "s"}
        ),
        received_message(headers={"ce-specversion": "1.0", "ce-id": "1"}),
    ],
)
def test_an_unusual_message_is_never_in_a_batch(odd: ReceivedMessage) -> None:
    assert envelope.cloud_event(odd) is None


def test_after_a_batch_with_unknown_outcome_a_message_does_not_count_as_first() -> None:
    message = received_message().with_unknown_outcome()
    (alone,) = receive_by_http(message.body, envelope.single_headers(message))
    assert not alone.is_first
    assert alone.attributes["attempt"] == "1"


@pytest.mark.parametrize(
    ("sent", "posted"),
    [
        ("application/json; charset=utf-8", "application/json; charset=utf-8"),
        ("application/cloudevents+json", "application/cloudevents+json"),
        *(
            (content_type, "application/json")
            for content_type in (None, "", "text/plain", "application/octet-stream")
        ),
    ],
)
def test_a_message_is_posted_as_json_whatever_its_content_type(
    sent: str | None, posted: str
) -> None:
    assert envelope.single_headers(received_message(content_type=sent))["Content-Type"] == posted
