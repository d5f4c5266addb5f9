"""What is too long is refused before anybody reads it."""

from typing import Any
from unittest.mock import Mock

import pika
import pytest

from leadline.connector import envelope
from leadline.connector.message import Received
from leadline.connector.post import Courier
from leadline.settings import settings


def received(body: bytes) -> Received:
    return Received(Mock(), 1, "bitrix_queue", pika.BasicProperties(), body, 1)


def test_a_message_over_the_limit_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = settings().body_limit
    parsed: list[int] = []

    def event(message: Received) -> Any:
        parsed.append(len(message.body))

    monkeypatch.setattr(envelope, "event", event)
    courier = Courier("bitrix_queue", "http://127.0.0.1:1/", 1)
    messages = [received(b" " * (limit + 1)), received(b" " * limit)]
    assert courier.deliver_together(messages) == messages
    assert parsed == [limit]
    verdict = courier.deliver(messages[0])
    assert verdict.is_final
    assert str(limit) in verdict.reason
