"""From RabbitMQ to a function over HTTP, by the connector in its own process."""

import ctypes
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pika
import pytest
import requests
import structlog
from pika.exceptions import ChannelClosedByBroker

from leadline.connector.consumer import Connector
from leadline.connector.deliveries import Deliveries
from leadline.connector.message import ATTEMPT_HEADER, MAX_DELIVERY_ATTEMPTS, ReceivedMessage
from leadline.messages import topology
from leadline.settings import settings
from tests.forks import Fork, Forks
from tests.raw_properties import HOSTILE, RawProperties
from tests.servers import PrivateServer, eventually, exit_code_of, private

QUEUE = topology.REQUESTS
DEAD = topology.dead_letter_name(QUEUE)


@dataclass
class Function:
    """A function with given answers; records its requests."""

    url: str = ""
    #: The statuses of its next answers; then it answers 202.
    answers: list[int] = field(default_factory=list)
    #: When each request arrived, its headers and its body.
    requests: list[tuple[float, dict[str, str], bytes]] = field(default_factory=list)
    #: Until it is set, requests wait for their answers.
    may_answer: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def function() -> Iterator[Function]:
    running_function = Function()
    running_function.may_answer.set()
    order = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with order:
                running_function.requests.append((time.monotonic(), dict(self.headers), body))
                status = running_function.answers.pop(0) if running_function.answers else 202
            running_function.may_answer.wait(60)
            text = b'{"detail": "because"}' if status >= 400 else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running_function.url = f"http://127.0.0.1:{server.server_port}/"
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    yield running_function
    running_function.may_answer.set()
    server.shutdown()
    server.server_close()


@dataclass
class ConnectorProcess:
    """A connector in its own process."""

    process: Fork
    port: int

    def health(self) -> int:
        """The status of /healthz, 0 while the connector does not listen."""
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/healthz", timeout=60).status_code
        except requests.ConnectionError:
            return 0

    def await_consuming(self) -> None:
        """Wait until the connector consumes its queue."""
        eventually(lambda: self.health() == 200, 60, "the connector consumes")

    def stop(self) -> int:
        """Send SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return exit_code_of(self.process)


Start = Callable[..., ConnectorProcess]


@pytest.fixture
def start(function: Function, free_port: Callable[[], int], forks: Forks) -> Iterator[Start]:
    """Starts a connector for the broker at this URL."""
    started: list[ConnectorProcess] = []

    def run(url: str, **env: str) -> ConnectorProcess:
        port = free_port()
        routes = json.dumps({QUEUE: function.url})
        process = forks.start(
            "leadline.connector.consumer",
            env={
                **os.environ,
                "AMQP_URL": url,
                "LEADLINE_ROUTES": routes,
                "LEADLINE_AUTH": "off",
                "PORT": str(port),
                **env,
            },
        )
        started.append(ConnectorProcess(process, port))
        return started[-1]

    yield run
    # Not killed at once: RabbitMQ 3.10 might still declare a queue for it while the next test
    # deletes that queue, and answers such a declaration and each later one with 541.
    function.may_answer.set()
    for connector in started:
        connector.process.terminate()
    for connector in started:
        try:
            connector.process.wait(60)
        except subprocess.TimeoutExpired:
            connector.process.kill()
            connector.process.wait(60)


@pytest.fixture
def running(start: Start, amqp_url: str) -> ConnectorProcess:
    """A connector that consumes."""
    connector = start(amqp_url)
    connector.await_consuming()
    await_auxiliary_queues(amqp_url)
    return connector


def await_auxiliary_queues(url: str) -> None:
    """Wait for the delay queues and the dead-letter queue.

    A connector consumes before it has declared them, and holds messages that need one.
    """
    for queue in topology.auxiliary_queues(QUEUE):
        eventually(partial(exists, url, queue.name), 60, f"{queue.name} is declared")


@pytest.fixture
def received(
    function: Function, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[bytes]]:
    """The bodies that a connector in this process has received so far.

    Its posts never count as slow, as further messages would not wait for a slow one.
    """
    monkeypatch.setattr("leadline.connector.deliveries.SLOW_AFTER_S", 3600)
    bodies: list[bytes] = []
    add = Deliveries.add

    def record(deliveries: Deliveries, message: ReceivedMessage) -> None:
        add(deliveries, message)
        bodies.append(message.body)

    monkeypatch.setattr(Deliveries, "add", record)
    connector = Connector(amqp_url, QUEUE, function.url)
    thread = threading.Thread(target=connector.run)
    thread.start()
    try:
        eventually(lambda: connector.is_consuming, 60, "the connector consumes")
        await_auxiliary_queues(amqp_url)
        yield bodies
    finally:
        function.may_answer.set()
        connector.stop()
        thread.join()


def publish(url: str, *bodies: bytes, **properties: Any) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for number, body in enumerate(bodies):
            all_properties = pika.BasicProperties(message_id=f"m-{number}", **properties)
            channel.basic_publish("", QUEUE, body, all_properties, mandatory=True)


def publish_with_properties(url: str, body: bytes, properties: pika.BasicProperties) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish("", QUEUE, body, properties, mandatory=True)
    connection.close()


def take_all(url: str, queue: str) -> list[tuple[pika.BasicProperties, bytes]]:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    found = []
    while True:
        method, properties, body = connection.channel().basic_get(queue, auto_ack=True)
        if method is None:
            break
        found.append((properties, body))
    connection.close()
    return found


def depth(url: str, queue: str = QUEUE) -> int:
    """Ready messages; unacknowledged ones do not count."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    count: int = connection.channel().queue_declare(queue, passive=True).method.message_count
    connection.close()
    return count


def test_a_connection_reset_during_its_handshake_is_opened_again(
    function: Function, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the laboratory: after pika's ValueError the queue was not consumed any more."""
    connect = pika.BlockingConnection
    errors = [ValueError("getpeername() failed")]

    def reset_at_first(parameters: pika.URLParameters) -> pika.BlockingConnection:
        if errors:  # only once
            raise errors.pop()
        return connect(parameters)

    monkeypatch.setattr(pika, "BlockingConnection", reset_at_first)
    connector = Connector(amqp_url, QUEUE, function.url)
    thread = threading.Thread(target=connector.run)
    thread.start()
    try:
        eventually(lambda: connector.is_consuming, 60, "the connector consumes")
    finally:
        connector.stop()
        thread.join()


def test_with_a_nestjs_peer_queues_are_plain_and_messages_keep_their_order(
    start: Start, function: Function, amqp_url: str
) -> None:
    """NestJS only declares its queues durable, before and after us, and sets no ids."""
    with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        peer = connection.channel()
        peer.queue_declare(QUEUE, durable=True)
        connector = start(amqp_url, LEADLINE_QUEUE_TYPE="classic", LEADLINE_PREFETCH="1")
        connector.await_consuming()
        peer.queue_declare(QUEUE, durable=True)
        function.may_answer.clear()
        for number in range(3):
            peer.basic_publish("", QUEUE, b'{"n": %d}' % number)
        eventually(lambda: function.requests, 60, "the function is called")
        eventually(lambda: depth(amqp_url) == 2, 60, "the others wait")
        function.may_answer.set()
        eventually(lambda: len(function.requests) == 3, 60, "all are delivered")
    bodies = [body for _, _, body in function.requests]
    assert bodies == [b'{"n": 0}', b'{"n": 1}', b'{"n": 2}']


def test_the_log_says_why_the_broker_rejects_the_declaration_of_a_peers_queue(
    function: Function, amqp_url: str
) -> None:
    """The most likely problem next to NestJS: our queue has a type, the peer's has none."""
    with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        connection.channel().queue_declare(QUEUE, durable=True)
    connector = Connector(amqp_url, QUEUE, function.url)
    with structlog.testing.capture_logs() as logged:
        thread = threading.Thread(target=connector.run)
        thread.start()
        try:
            eventually(
                lambda: any(line.get("queue") == QUEUE for line in logged),
                60,
                "the refusal is logged",
            )
        finally:
            connector.stop()
            thread.join()
    output = next(line for line in logged if line.get("queue") == QUEUE)
    assert (output["event"], output["log_level"]) == ("channel closed", "error")
    assert "PRECONDITION_FAILED - inequivalent arg 'x-" in output["reason"]


def test_a_stopped_connector_leaves_nothing_running(
    function: Function, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that is declared while it is being deleted is unusable in RabbitMQ 3.10."""
    connect = pika.BlockingConnection
    declaring = threading.Event()

    def slowly_in_other_threads(parameters: pika.URLParameters) -> pika.BlockingConnection:
        if connector.is_consuming:
            declaring.set()
            time.sleep(0.5)
        return connect(parameters)

    monkeypatch.setattr(pika, "BlockingConnection", slowly_in_other_threads)
    before = set(threading.enumerate())
    connector = Connector(amqp_url, QUEUE, function.url)
    thread = threading.Thread(target=connector.run)
    thread.start()
    assert declaring.wait(60)
    connector.stop()
    thread.join()
    assert set(threading.enumerate()) <= before


@pytest.mark.usefixtures("running")
def test_a_message_reaches_its_function_as_a_cloudevent(function: Function, amqp_url: str) -> None:
    publish(
        amqp_url, '{"n": "я"}'.encode(), correlation_id="call-1", content_type="application/json"
    )
    eventually(lambda: function.requests, 60, "the function is called")
    _, headers, body = function.requests[0]
    assert body == '{"n": "я"}'.encode()
    assert headers["ce-id"] == "m-0"
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-attempt"] == "1"
    assert headers["X-Call-Id"] == "call-1"


def test_a_message_is_acknowledged_only_after_2xx(
    running: ConnectorProcess, function: Function, amqp_url: str
) -> None:
    function.may_answer.clear()
    publish(amqp_url, b"{}")
    eventually(lambda: function.requests, 60, "the function is called")
    running.process.kill()
    eventually(lambda: depth(amqp_url) == 1, 60, "RabbitMQ still has the message")


@pytest.mark.usefixtures("running")
def test_an_unprocessable_message_is_dead_lettered_with_its_reason(
    function: Function, amqp_url: str
) -> None:
    function.answers = [422]
    publish(amqp_url, b"nonsense", b"{}")
    eventually(lambda: depth(amqp_url, DEAD) == 1, 60, "the message is dead")
    ((properties, body),) = take_all(amqp_url, DEAD)
    dead = function.requests[0][2]  # either message may arrive first
    dead_id = {b"nonsense": "m-0", b"{}": "m-1"}[dead]
    assert (body, properties.message_id) == (dead, dead_id)
    assert properties.headers["x-reason"] == "422 because"
    assert properties.headers["x-origin"] == QUEUE
    eventually(lambda: len(function.requests) == 2, 60, "the other message is served")


@pytest.mark.usefixtures("running")
def test_a_failed_delivery_is_retried_later_with_its_attempts_counted(
    function: Function, amqp_url: str
) -> None:
    function.answers = [503, 429]
    publish(amqp_url, b"{}", headers={"ce-specversion": "1.0", "ce-id": "e", "ce-resent": "true"})
    eventually(lambda: len(function.requests) == 3, 60, "the function is called three times")
    times, headers, _ = zip(*function.requests, strict=True)
    assert [header["ce-attempt"] for header in headers] == ["1", "2", "3"]
    assert all(header["ce-resent"] == "true" and header["ce-id"] == "e" for header in headers)
    # Delays of 1 s and 4 s, with a tolerance of 0.1 s.
    assert times[1] - times[0] >= 0.9
    assert times[2] - times[1] >= 3.9
    assert depth(amqp_url, DEAD) == 0


@pytest.mark.usefixtures("running")
def test_a_message_that_failed_too_often_is_dead_lettered(
    function: Function, amqp_url: str
) -> None:
    function.answers = [500]
    publish(amqp_url, b"{}", headers={ATTEMPT_HEADER: MAX_DELIVERY_ATTEMPTS})
    eventually(lambda: depth(amqp_url, DEAD) == 1, 60, "the message is dead")
    assert function.requests[0][1]["ce-attempt"] == str(MAX_DELIVERY_ATTEMPTS)


@pytest.mark.usefixtures("running")
def test_a_message_over_the_limit_is_dead_lettered_and_never_sent(
    function: Function, amqp_url: str
) -> None:
    publish(amqp_url, b"x" * 70_000)  # the limit is 64 KiB
    eventually(lambda: depth(amqp_url, DEAD) == 1, 60, "the message is dead")
    assert function.requests == []


@pytest.mark.usefixtures("running")
def test_headers_that_http_cannot_carry_do_no_harm(function: Function, amqp_url: str) -> None:
    unfit = {
        "ce-specversion": "1.0",
        "ce-id": "a\r\nX-Evil: 1",
        "ce-я": "я",
        "ce-table": {"a": 1},
    }
    publish(amqp_url, b"{}", headers=unfit, correlation_id="a\r\nb")
    publish(amqp_url, b"{}")
    eventually(lambda: depth(amqp_url) == 0, 60, "both are taken")
    eventually(lambda: len(function.requests) >= 1, 60, "the valid message is served")
    assert all("X-Evil" not in headers for _, headers, _ in function.requests)


def test_sigterm_finishes_requests_in_flight(
    running: ConnectorProcess, function: Function, amqp_url: str
) -> None:
    function.may_answer.clear()
    publish(amqp_url, b"{}")
    eventually(lambda: function.requests, 60, "the function is called")
    running.process.send_signal(signal.SIGTERM)
    publish(amqp_url, b"{}")
    function.may_answer.set()
    assert exit_code_of(running.process) == 0
    # RabbitMQ puts back what was not acknowledged once it has noticed the end of the channel.
    eventually(
        lambda: depth(amqp_url) == 2 - len(function.requests), 60, "the others are in the queue"
    )


BATCH = "application/cloudevents-batch+json"
IN_FLIGHT = (b'{"in_flight": 1}', b'{"in_flight": 2}')


def await_requests(function: Function, count: int) -> None:
    eventually(lambda: len(function.requests) >= count, 60, f"{count} requests have arrived")


def keep_in_flight(function: Function, url: str) -> None:
    """Keep as many requests in flight as the connector sends at once; further messages wait."""
    function.may_answer.clear()
    for number, body in enumerate(IN_FLIGHT, start=1):
        publish(url, body)
        await_requests(function, number)


def publish_while_busy(
    function: Function, url: str, received: list[bytes], *bodies: bytes, **properties: Any
) -> None:
    """Publish messages that have to wait for others, then let the function answer."""
    keep_in_flight(function, url)
    publish(url, *bodies, **properties)
    count = len(IN_FLIGHT) + len(bodies)
    eventually(lambda: len(received) == count, 60, "the connector has all")
    function.may_answer.set()


def batches(function: Function) -> list[list[dict[str, Any]]]:
    """The batches that arrived, event by event."""
    found = [(headers, body) for _, headers, body in function.requests]
    return [json.loads(body) for headers, body in found if headers["Content-Type"] == BATCH]


def single_events(function: Function) -> list[tuple[dict[str, str], bytes]]:
    """Headers and body of each event that arrived outside a batch, after those in flight."""
    found = [(headers, body) for _, headers, body in function.requests[len(IN_FLIGHT) :]]
    return [(headers, body) for headers, body in found if headers["Content-Type"] != BATCH]


def test_messages_that_arrive_during_a_request_are_sent_together(
    received: list[bytes], function: Function, amqp_url: str
) -> None:
    bodies = [b'{"n": %d}' % number for number in range(10)]
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    headers = {"traceparent": trace, "ce-changed": "stage"}
    publish_while_busy(function, amqp_url, received, *bodies, headers=headers, correlation_id="c")
    await_requests(function, len(IN_FLIGHT) + 1)
    (batch,) = batches(function)
    assert [(event["id"], event["data"]) for event in batch] == [
        (f"m-{number}", {"n": number}) for number in range(10)
    ]
    for event in batch:
        assert (event["correlationid"], event["traceparent"]) == ("c", trace)
        assert (event["attempt"], event["changed"], event["specversion"]) == ("1", "stage", "1.0")


@pytest.mark.parametrize(("answer", "is_in_doubt"), [(422, False), (503, True)])
def test_events_of_a_failed_batch_are_delivered_one_by_one(
    received: list[bytes],
    function: Function,
    amqp_url: str,
    answer: int,
    is_in_doubt: bool,  # noqa: FBT001
) -> None:
    """The event that cannot be processed is dead-lettered, and the others are served."""
    # To the two in flight, to the batch, and to the first and second of its four events.
    function.answers = [202, 202, answer, 202, 422]
    bodies = [b'{"n": %d}' % number for number in range(4)]
    publish_while_busy(function, amqp_url, received, *bodies)
    eventually(lambda: depth(amqp_url, DEAD) == 1, 60, "the message is dead")
    await_requests(function, len(IN_FLIGHT) + 1 + 4)
    assert sorted(body for _, body in single_events(function)) == bodies
    for headers, _ in single_events(function):
        assert headers["ce-attempt"] == "1"
        assert ("ce-resent" in headers) == is_in_doubt
    ((_, dead),) = take_all(amqp_url, DEAD)
    assert dead == single_events(function)[1][1]


@pytest.mark.usefixtures("running")
def test_the_broker_rejects_a_message_far_over_the_limit(function: Function, amqp_url: str) -> None:
    with pytest.raises(ChannelClosedByBroker, match="larger than configured max size"):
        publish(amqp_url, b'"%s"' % (b"x" * 2 * settings().body_limit))
    publish(amqp_url, b"1")
    eventually(lambda: len(function.requests) == 1, 60, "the next message is served")
    assert function.requests[0][2] == b"1"
    assert depth(amqp_url, DEAD) == 0


@pytest.mark.usefixtures("running")
def test_headers_that_fill_a_frame_leave_room_for_the_reason(
    function: Function, amqp_url: str
) -> None:
    """A copy with more headers would exceed the frame size, and close the connection each time."""
    function.answers = [422]
    publish(amqp_url, b"{}", headers={"x-filler": "a" * 131_000})
    eventually(lambda: depth(amqp_url, DEAD) == 1, 60, "the message is dead")
    ((properties, body),) = take_all(amqp_url, DEAD)
    assert (properties.headers["x-reason"], body) == ("422 because", b"{}")


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("headers", HOSTILE.values(), ids=HOSTILE)
def test_unreadable_headers_do_not_close_the_connection(
    function: Function, amqp_url: str, headers: bytes
) -> None:
    """Otherwise the message would be redelivered forever and block its queue."""
    function.answers = [422]
    hostile = RawProperties(content_type=b"\xff", message_id=b"\xfe", headers=headers)
    publish_with_properties(amqp_url, b"hostile", hostile)
    eventually(lambda: len(function.requests) == 1, 60, "the message is delivered")
    publish(amqp_url, b"next")
    eventually(lambda: len(function.requests) == 2, 60, "both are delivered, once each")
    assert [body for _, _, body in function.requests] == [b"hostile", b"next"]
    assert function.requests[0][1]["ce-attempt"] == "1"
    eventually(lambda: depth(amqp_url, DEAD) == 1, 60, "the message is dead")
    ((properties, body),) = take_all(amqp_url, DEAD)
    assert (properties.headers["x-reason"], body) == ("422 because", b"hostile")


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("status", [422, 503])
def test_a_message_goes_only_where_the_connector_puts_it(
    function: Function, amqp_url: str, status: int
) -> None:
    """With CC, the connector's copy would go to any queue, this one included, and multiply."""
    with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        connection.channel().queue_declare("other", durable=True)
    function.answers = [status, 422]
    publish(amqp_url, b"{}", headers={"CC": [QUEUE, "other"]})
    eventually(lambda: depth(amqp_url, DEAD) == 1, 60, "the message is dead")
    delivered = len(function.requests)
    time.sleep(1)  # a copy in a main queue would be delivered at once
    assert len(function.requests) == delivered
    assert depth(amqp_url, DEAD) == 1
    assert len(take_all(amqp_url, "other")) == 1, "the sender's own, and no copy of ours"


@pytest.mark.usefixtures("running")
def test_a_dead_letter_outlives_the_expiration_that_its_sender_set(
    function: Function, amqp_url: str
) -> None:
    function.answers = [422]
    publish(amqp_url, b"{}", expiration="500")
    eventually(lambda: depth(amqp_url, DEAD) == 1, 60, "the message is dead")
    time.sleep(1)  # longer than the expiration of 500 ms
    assert depth(amqp_url, DEAD) == 1


@pytest.mark.usefixtures("running")
def test_an_attempt_count_at_its_maximum_stays_there(function: Function, amqp_url: str) -> None:
    function.answers = [503]
    publish(amqp_url, b"{}", headers={ATTEMPT_HEADER: 2**63 - 1})
    eventually(lambda: depth(amqp_url, DEAD) == 1, 60, "the message is dead")
    ((properties, _),) = take_all(amqp_url, DEAD)
    assert properties.headers[ATTEMPT_HEADER] == MAX_DELIVERY_ATTEMPTS


def test_an_unusual_message_does_not_affect_a_batch(
    received: list[bytes], function: Function, amqp_url: str
) -> None:
    unusual = [b"nonsense", b'{},{"specversion": "1.0"}', b"x" * 70_000]
    publish_while_busy(function, amqp_url, received, b'{"n": 1}', *unusual, b'{"n": 2}')
    eventually(lambda: depth(amqp_url, DEAD) == 1, 60, "the message over the limit is dead")
    eventually(lambda: len(function.requests) == 5, 60, "all others are delivered")
    (batch,) = batches(function)
    assert [event["data"] for event in batch] == [{"n": 1}, {"n": 2}]
    assert sorted(body for _, body in single_events(function)) == sorted(unusual[:2])


def test_a_batch_stays_within_the_body_limit(
    start: Start, function: Function, amqp_url: str
) -> None:
    limit = 2000
    connector = start(amqp_url, LEADLINE_BODY_LIMIT=str(limit))
    connector.await_consuming()
    keep_in_flight(function, amqp_url)
    publish(amqp_url, *[b'{"n": "%s"}' % (b"x" * 300)] * 20)
    eventually(lambda: depth(amqp_url) == 0, 60, "the connector has all")
    function.may_answer.set()
    assert connector.stop() == 0
    assert depth(amqp_url) == 0, "all are acknowledged"
    sizes = [len(body) for _, _, body in function.requests]
    assert max(sizes) <= limit
    assert sum(map(len, batches(function))) + len(single_events(function)) == 20
    assert len(sizes) < len(IN_FLIGHT) + 10


def test_sigterm_finishes_waiting_messages_too(
    running: ConnectorProcess, function: Function, amqp_url: str
) -> None:
    keep_in_flight(function, amqp_url)
    publish(amqp_url, *[b"{}"] * 5)
    eventually(lambda: depth(amqp_url) == 0, 60, "the connector has all")
    running.process.send_signal(signal.SIGTERM)
    function.may_answer.set()
    assert exit_code_of(running.process) == 0
    assert depth(amqp_url) == 0


@pytest.mark.usefixtures("running")
def test_slow_functions_do_not_delay_other_messages(function: Function, amqp_url: str) -> None:
    function.may_answer.clear()
    for number in range(1, 5):
        publish(amqp_url, b"{}")
        await_requests(function, number)


def test_a_deleted_queue_is_declared_and_consumed_again(
    running: ConnectorProcess, function: Function, amqp_url: str
) -> None:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_delete(QUEUE)
        channel.confirm_delivery()
        eventually(partial(publish_if_routed, channel), 60, "the queue is there again")
    eventually(lambda: function.requests, 60, "the function is called")
    assert running.stop() == 0


def publish_if_routed(channel: Any) -> bool:
    """Publish a message; returns whether it has reached the queue."""
    try:
        channel.basic_publish("", QUEUE, b"{}", mandatory=True)
    except (pika.exceptions.UnroutableError, pika.exceptions.NackError):
        return False  # the queue is deleted, or about to be
    return True


def declare(url: str, name: str, arguments: dict[str, Any], body: bytes | None = None) -> None:
    """Declare a queue as another client does, with a message in it if there is a body."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(name, durable=True, arguments=arguments)
        if body is not None:
            channel.confirm_delivery()
            channel.basic_publish("", name, body, mandatory=True)


def exists(url: str, name: str) -> bool:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        try:
            connection.channel().queue_declare(name, passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return False
        return True


@pytest.fixture
def mismatched(amqp_url: str) -> Iterator[list[str]]:
    """Auxiliary queues that another client has declared differently."""
    # The last one is a delay queue of an earlier version.
    names = [f"{QUEUE}.delay.1s", f"{QUEUE}.delay.4s", DEAD, f"{QUEUE}.retry.1s"]
    for name in names:
        declare(amqp_url, name, {"x-max-length": 7})
    yield names
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        for name in names:
            connection.channel().queue_delete(name)


@pytest.mark.parametrize("answer", [503, 422])
def test_unusable_auxiliary_queues_do_not_stop_consuming(
    start: Start, function: Function, amqp_url: str, mismatched: list[str], answer: int
) -> None:
    connector = start(amqp_url)
    connector.await_consuming()
    function.answers = [answer]
    publish(amqp_url, b"held")
    await_requests(function, 1)
    publish(amqp_url, b"now")
    await_requests(function, 3)

    def times_and_attempts(of_body: bytes) -> list[tuple[float, str]]:
        return [
            (at, headers["ce-attempt"])
            for at, headers, body in function.requests
            if body == of_body
        ]

    (first_at, first_attempt), (second_at, second_attempt) = times_and_attempts(b"held")
    assert (first_attempt, second_attempt) == ("1", "2")
    assert second_at - first_at >= 0.9, "the connector held the message for the delay of 1 s"
    assert [attempt for _, attempt in times_and_attempts(b"now")] == ["1"]
    assert [depth(amqp_url, name) for name in mismatched if exists(amqp_url, name)] == [0, 0, 0], (
        "the delay queue of an earlier version is deleted, the others get no message"
    )
    assert connector.stop() == 0
    assert depth(amqp_url) == 0


def test_a_held_message_returns_to_the_broker_when_the_connector_ends(
    start: Start, function: Function, amqp_url: str, mismatched: list[str]
) -> None:
    assert mismatched
    connector = start(amqp_url)
    connector.await_consuming()
    function.answers = [503] * 9
    publish(amqp_url, b"{}")
    await_requests(function, 2)
    assert connector.stop() == 0
    eventually(lambda: depth(amqp_url) == 1, 60, "the message is in its queue")


@pytest.mark.usefixtures("running")
def test_deleted_auxiliary_queues_are_declared_again_and_no_message_is_lost(
    function: Function, amqp_url: str
) -> None:
    for answer, name in ((503, f"{QUEUE}.delay.1s"), (422, DEAD)):
        with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
            connection.channel().queue_delete(name)
        function.answers = [answer]
        before = len(function.requests)
        publish(amqp_url, b"{}")
        eventually(partial(exists, amqp_url, name), 60, "the queue is there again")
        await_requests(function, before + 2)


def test_delay_queues_of_earlier_versions_are_deleted_once_empty(
    start: Start, amqp_url: str
) -> None:
    empty, full = f"{QUEUE}.retry.1s", f"{QUEUE}.retry.60s"
    declare(amqp_url, empty, {})
    declare(amqp_url, full, {}, b"old")

    def start_and_await_deletion(queue: str) -> None:
        connector = start(amqp_url)
        connector.await_consuming()
        eventually(lambda: not exists(amqp_url, queue), 60, f"{queue} is deleted")
        assert connector.stop() == 0

    start_and_await_deletion(empty)
    assert [body for _, body in take_all(amqp_url, full)] == [b"old"], "a full one is kept"
    start_and_await_deletion(full)


def test_a_connector_without_a_broker_is_unhealthy_and_keeps_trying(start: Start) -> None:
    connector = start("amqp://127.0.0.1:1/")
    eventually(lambda: connector.health() == 503, 60, "the connector says that it does not consume")
    assert connector.stop() == 0


def test_the_connector_ends_even_if_the_signal_did_not_interrupt_its_wait(start: Start) -> None:
    """SIGTERM may arrive just before the main thread begins to wait."""
    connector = start("amqp://127.0.0.1:1/")
    eventually(lambda: connector.health() == 503, 60, "the connector says that it does not consume")
    pid = connector.process.pid
    threads = [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
    threads.remove(pid)  # the main thread has the id of the process
    assert ctypes.CDLL(None).tgkill(pid, threads[0], signal.SIGTERM) == 0
    assert exit_code_of(connector.process) == 0


@pytest.mark.parametrize("routes", ["", "nonsense", "[]", "{}"])
def test_a_connector_without_valid_routes_does_not_start(start: Start, routes: str) -> None:
    connector = start("amqp://127.0.0.1:1/", LEADLINE_ROUTES=routes)
    assert exit_code_of(connector.process) != 0


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    server = private("rabbitmq", tmp_path_factory.mktemp("broker"))
    server.start()
    yield server
    server.stop()


def test_after_a_restart_of_the_broker_the_connector_consumes_again(
    start: Start, function: Function, broker: PrivateServer
) -> None:
    connector = start(broker.url)
    connector.await_consuming()
    broker.stop()
    eventually(lambda: connector.health() == 503, 60, "the connector says that it does not consume")
    broker.start()
    publish(broker.url, b"{}")
    eventually(lambda: function.requests, 60, "the function is called")
    assert connector.stop() == 0
