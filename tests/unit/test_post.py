"""The connector neither parses messages over the limit nor reads endless answers."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import Mock

import pika
import pytest

from leadline.connector import envelope
from leadline.connector.function_client import FunctionClient
from leadline.connector.message import ReceivedMessage, Verdict
from leadline.settings import settings


def received_message(body: bytes) -> ReceivedMessage:
    return ReceivedMessage(Mock(), 1, "bitrix_queue", pika.BasicProperties(), body, attempt=1)


def test_a_message_over_the_limit_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = settings().body_limit
    parsed: list[int] = []

    def record_length(message: ReceivedMessage) -> Any:
        parsed.append(len(message.body))

    monkeypatch.setattr(envelope, "cloud_event", record_length)
    client = FunctionClient("bitrix_queue", "http://127.0.0.1:1/", connections=1)
    messages = [received_message(b" " * (limit + 1)), received_message(b" " * limit)]
    assert client.deliver_batch(messages) == messages
    assert parsed == [limit]
    verdict = client.deliver(messages[0])
    assert verdict.is_final
    assert str(limit) in verdict.reason


@pytest.fixture
def endless() -> Iterator[str]:
    """The address of a function with an endless answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(422)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"x" * 64 * 1024)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_a_delivery_ends_even_if_the_answer_is_endless(endless: str) -> None:
    """One compromised function must not stop the messages of all others."""
    answered: Future[Verdict] = Future()
    client = FunctionClient("bitrix_queue", endless, connections=1)

    def deliver() -> None:
        answered.set_result(client.deliver(received_message(b"{}")))

    threading.Thread(target=deliver, daemon=True).start()
    verdict = answered.result(60)
    assert verdict.is_final
    assert verdict.reason == "422 Unprocessable Entity"
