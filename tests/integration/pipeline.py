"""The whole pipeline in this process, step by step: relay, handlers, jobs."""

import contextlib
from pathlib import Path

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from leadline import process
from leadline.connector import envelope
from leadline.connector.message import ReceivedMessage
from leadline.errors import BitrixError
from leadline.ledger import relay
from leadline.messages import topology
from leadline.settings import settings
from leadline.sync import job
from leadline.workqueue.queue import work_queue
from tests.integration.conftest import execute, function_client, rows
from tests.servers import eventually

#: The function of each queue.
ROUTES = {topology.REQUESTS: "bitrix_handler", topology.REPLIES: "reply_handler"}


def configure(monkeypatch: pytest.MonkeyPatch, webhook_url: str, state: Path) -> None:
    """Configure no keys, no limits, short waits for retries, and no wait for a lost call to end.

    The real waits for retries are checked in tests/unit/test_decide_outcomes.py.
    """
    variables = {
        "BITRIX_WEBHOOK_URL": webhook_url,
        "LEADLINE_STATE": str(state),
        "LEADLINE_AUTH": "off",
        "LEADLINE_RATE_PER_S": "0",
        "LEADLINE_REQUEST_LIMIT_S": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    process.forget(settings)
    monkeypatch.setattr("leadline.sync.decide.CALL_MARGIN_S", 0)
    monkeypatch.setattr("leadline.sync.decide.RETRY_DELAYS_MS", (100, 200))
    monkeypatch.setattr(work_queue(), "call_ms", 0)  # as if no call could still run


class Pipeline:
    """Delivers messages and runs jobs."""

    def __init__(self, channel: BlockingChannel) -> None:
        self._channel = channel
        for name in ROUTES:
            topology.declare(channel, topology.main_queue(name))
        self._functions = {queue: function_client(name) for queue, name in ROUTES.items()}

    def publish(self) -> None:
        """Have the relay publish every unpublished event, also those that are due later."""
        execute(
            "UPDATE events SET due_at = now() WHERE due_at IS NOT NULL AND published_at IS NULL"
        )
        relay.run()

    def deliver(self, queue: str) -> int:
        """Post all messages of a queue to its function; returns how many."""
        channel = self._channel
        delivered = 0
        while (got := channel.basic_get(queue))[0] is not None:
            method, properties, body = got
            message = ReceivedMessage(
                channel, method.delivery_tag, queue, properties, body, attempt=1
            )
            answer = self._functions[queue].post(
                "/", data=body, headers=envelope.single_headers(message)
            )
            assert answer.status_code < 300, answer.text
            channel.basic_ack(method.delivery_tag)
            delivered += 1
        return delivered

    @staticmethod
    def call() -> None:
        """Make one call to Bitrix24."""
        with contextlib.suppress(BitrixError):  # the call's users are due again, or have failed
            job.call_bitrix24("main")

    def run_round(self) -> bool:
        """Publish, deliver, call and settle once; returns whether all events are settled."""
        self.publish()
        self.deliver(topology.REQUESTS)
        self.call()
        self.deliver(topology.REPLIES)
        return not rows("SELECT FROM events WHERE state = 'open'")

    def run_rounds(self, times: int) -> None:
        """Run this many rounds, where some events stay open, so that `settle` would not return."""
        for _ in range(times):
            self.run_round()

    def settle(self) -> None:
        """Run rounds until every event is settled."""
        eventually(self.run_round, 120, "every event is settled")
