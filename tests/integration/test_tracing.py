"""One trace from the HTTP request to the lead and back, over real servers, in one process."""

import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pika
import pytest
import requests
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext
from pika.exceptions import AMQPConnectionError
from werkzeug.serving import make_server
from werkzeug.wsgi import get_input_stream

from leadline import process
from leadline.connector.function_client import FunctionClient
from leadline.connector.message import ReceivedMessage
from leadline.messages import topology
from leadline.runtime.serving.serve import build_app
from leadline.runtime.telemetry import tracing
from leadline.settings import settings
from leadline.sync import job
from tests.integration.conftest import rows
from tests.servers import eventually

CHECKOUT = Path(__file__).parents[2]
NAME, PHONE = "Айгерим Серикова", "+77015550199"
#: The `traceparent` of a caller that starts the trace itself: version, trace, span, flags.
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Collects the spans that this process ends."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    process.forget(tracing.is_enabled)
    stored = InMemorySpanExporter()
    tracing.start(SimpleSpanProcessor(stored))
    yield stored
    process.forget(tracing.is_enabled)
    monkeypatch.setattr(tracing, "_tracer", None)


@contextmanager
def serve(function: str) -> Iterator[str]:
    """The function on its own port, as `leadline.runtime.serving.serve` builds it."""
    with pytest.MonkeyPatch.context() as environment:
        # Otherwise build_app would use the previous function's target.
        environment.setenv("FUNCTION_TARGET", function)
        app = build_app(CHECKOUT / "functions" / function)

    def serving(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        # Ends the body at Content-Length; reading on would block.
        environ["wsgi.input"] = get_input_stream(environ)
        return app(environ, start)

    server = make_server("127.0.0.1", 0, serving)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def deliver(amqp_url: str, queue: str, function: str, messages: int = 1) -> None:
    """Deliver this many messages of the queue to its function, as the connector does."""
    received: list[ReceivedMessage] = []

    def take_messages() -> bool:
        # The broker may close a connection that uses a queue just declared; the connector then
        # reconnects.
        with (
            suppress(AMQPConnectionError),
            closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection,
        ):
            channel = connection.channel()
            for declared in topology.queues_of(queue):
                channel.queue_declare(declared.name, durable=True, arguments=declared.arguments)
            while len(received) < messages:
                method, properties, body = channel.basic_get(queue, auto_ack=True)
                if method is None:
                    break
                received.append(
                    ReceivedMessage(
                        channel, method.delivery_tag, queue, properties, body, attempt=1
                    )
                )
        return len(received) == messages

    eventually(take_messages, 60, f"{messages} in {queue}")
    with serve(function) as url:
        client = FunctionClient(queue, url, connections=1)
        if messages == 1:
            assert client.deliver(received[0]).is_served
        else:
            assert client.deliver_batch(received) == []


@pytest.fixture
def all_processes(
    in_postgres: str,
    in_redis: str,
    amqp_url: str,
    webhook_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """Configure this process to act as any of Leadline's processes; returns the broker's URL."""
    assert in_postgres
    assert in_redis
    monkeypatch.setenv("LEADLINE_AUTH", "off")
    monkeypatch.setenv("AMQP_URL", amqp_url)
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    process.forget(settings)
    return amqp_url


@pytest.fixture
def spans(exporter: InMemorySpanExporter, all_processes: str) -> dict[str, ReadableSpan]:
    """The spans of a user's creation, by name; the second span of a name gets a trailing `'`."""
    body = {"full_name": NAME, "phone": PHONE}
    with serve("create_user") as url:
        answer = requests.post(url, json=body, headers={"traceparent": CALLER}, timeout=60)
        assert answer.status_code == 201
    deliver(all_processes, topology.REQUESTS, "bitrix_handler")
    assert job.call_bitrix24("main") == 1
    deliver(all_processes, topology.REPLIES, "reply_handler")
    assert rows("SELECT sync_status FROM users") == [{"sync_status": "synced"}]
    published = "SELECT FROM events WHERE published_at IS NOT NULL"
    eventually(lambda: bool(rows(published)), 60, "the event is marked as published")
    found: dict[str, ReadableSpan] = {}
    for span in exporter.get_finished_spans():
        found[f"{span.name}'" if span.name in found else span.name] = span
    return found


def test_one_trace_leads_from_the_request_to_the_lead_and_back(
    spans: dict[str, ReadableSpan],
) -> None:
    path = [
        "POST /users",
        "publish bitrix_queue",
        "deliver",
        "bitrix-handler",
        "apply create_card",
        "publish bitrix.responses",
        "deliver'",
        "reply-handler",
    ]
    parents = dict(zip(path[1:], path, strict=False)) | {"Bitrix24 batch": "apply create_card"}
    assert spans.keys() == {*path, "Bitrix24 batch"}
    assert {f"{_own(span).trace_id:032x}" for span in spans.values()} == {CALLER.split("-")[1]}
    for child, parent in parents.items():
        assert _parent(spans[child]) == _own(spans[parent]).span_id, child
    assert f"{_parent(spans['POST /users']):016x}" == CALLER.split("-")[2]
    assert all(span.status.is_ok or span.status.is_unset for span in spans.values())


def test_each_message_of_a_batch_stays_in_its_own_trace(
    exporter: InMemorySpanExporter, all_processes: str
) -> None:
    callers = [CALLER, CALLER.replace("4bf92f", "5cf92f")]
    body = {"full_name": NAME, "phone": PHONE}
    with serve("create_user") as url:
        for caller in callers:
            requests.post(url, json=body, headers={"traceparent": caller}, timeout=60)
    deliver(all_processes, topology.REQUESTS, "bitrix_handler", messages=2)
    assert job.call_bitrix24("main") == 2
    deliver(all_processes, topology.REPLIES, "reply_handler", messages=2)
    assert rows("SELECT DISTINCT sync_status FROM users") == [{"sync_status": "synced"}]
    spans = exporter.get_finished_spans()
    path = ["POST /users", "publish bitrix_queue", "deliver", "apply create_card"]
    path += ["publish bitrix.responses", "deliver"]
    for caller in callers:
        trace = [span for span in spans if f"{_own(span).trace_id:032x}" == caller.split("-")[1]]
        by_id = {_own(span).span_id: span for span in trace}
        (last,) = (
            span
            for span in trace
            if span.name == "deliver" and by_id[_parent(span)].name == "publish bitrix.responses"
        )
        names = [last.name]
        while _parent(last) in by_id:
            last = by_id[_parent(last)]
            names.append(last.name)
        assert names == path[::-1]
    for batch in (span for span in spans if span.name == "deliver batch"):
        (other,) = batch.links
        assert other.context.trace_id != _own(batch).trace_id


def test_a_trace_contains_no_personal_data_and_no_address(
    spans: dict[str, ReadableSpan], webhook_url: str, amqp_url: str
) -> None:
    exported = "".join(span.to_json(indent=None) for span in spans.values())
    decoded = exported.encode().decode("unicode_escape")
    secrets = (webhook_url, "local-webhook-code", amqp_url)
    for hidden in (NAME, NAME.partition(" ")[0], PHONE, PHONE[1:], *secrets):
        assert hidden not in exported
        assert hidden not in decoded


def _own(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def _parent(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


@pytest.mark.parametrize("folder", ["functions/create_user", "functions/reply_handler"])
def test_opentelemetry_is_not_imported_unless_tracing_is_configured(folder: str) -> None:
    # redis-py can import OpenTelemetry by itself; images without tracing do not contain it.
    code = (
        "import sys; from pathlib import Path;"
        "from leadline.runtime.serving.serve import build_app;"
        f"build_app(Path({folder!r})); import leadline.connector.consumer;"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    command = [sys.executable, "-c", code]
    env = {"LEADLINE_AUTH": "off"}
    assert subprocess.run(command, cwd=CHECKOUT, env=env, check=False).returncode == 0


def test_tracing_without_its_packages_is_an_error_at_startup(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['opentelemetry'] = None\n", encoding="utf-8"
    )
    code = "from leadline.runtime.telemetry import tracing; tracing.is_enabled()"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env={"PYTHONPATH": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "requirements/otel.txt" in result.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")]
)
def test_traces_can_be_switched_off(
    exporter: InMemorySpanExporter, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tracing.is_enabled()
    monkeypatch.setenv(name, value)
    process.forget(tracing.is_enabled)
    assert not tracing.is_enabled()
    assert not exporter.get_finished_spans()
