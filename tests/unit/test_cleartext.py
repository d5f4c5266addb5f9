"""Connections to other machines without TLS are rejected, unless a setting exempts the peer."""

import pytest
from pydantic import ValidationError

from leadline import process
from leadline.bitrix24.webhook_url import WebhookUrl
from leadline.connector import schedule
from leadline.connector.consumer import Connector
from leadline.errors import BadConfiguration
from leadline.runtime import cleartext
from leadline.runtime.postgres.dsn import servers
from leadline.runtime.postgres.pool import Database
from leadline.runtime.rabbitmq import connection
from leadline.runtime.redis import connect
from leadline.runtime.telemetry import tracing
from leadline.settings import Peer, settings
from local.runner.choices import Choices
from tests.unit.conftest import Configure

IN_CLEAR: tuple[tuple[Peer, str], ...] = (
    ("postgres", "postgresql://u:hunter2hunter2@db.example.com/d"),
    ("postgres", "postgresql://u:hunter2hunter2@10.0.0.1/d?sslmode=disable"),
    ("postgres", "postgres://u:hunter2hunter2@db/d?sslmode=require&sslmode=disable"),
    ("postgres", "postgresql://u:hunter2hunter2@127.0.0.1.example.com/d"),
    ("postgres", "postgresql://u:hunter2hunter2@[2001:db8::1]/d"),
    ("rabbitmq", "amqp://u:hunter2hunter2@mq.example.com/"),
    ("rabbitmq", "AMQP://u:hunter2hunter2@localhost.example.com/"),
    ("rabbitmq", "http://u:hunter2hunter2@mq/"),
    ("redis", "redis://:hunter2hunter2@redis/0"),
    ("redis", "redis://:hunter2hunter2@0.0.0.0/0"),
    ("redis", "redis:///0?host=redis.example.com&password=hunter2hunter2"),
    ("redis", "redis://localhost/hunter2hunter2@redis.example.com:6379/0"),
    ("postgres", "postgresql://u:hunter2hunter2@127.0.0.1,db.example.com/d"),
    ("rabbitmq", "amqp://u:hunter2hunter2@localhost:5672,mq.example.com/"),
    ("redis", "redis+sentinel://:hunter2hunter2@localhost,redis.example.com/main"),
    ("bitrix24", "http://portal.example.com/rest/1/hunter2hunter2/"),
    ("bitrix24", "http://192.168.0.7/rest/1/hunter2hunter2/"),
)
SAFE: tuple[tuple[Peer, str], ...] = (
    ("postgres", "postgresql://u:p@localhost/d"),
    ("postgres", "postgresql://u:p@127.1.2.3/d?sslmode=disable"),
    ("postgres", "postgresql://u:p@[::1]/d"),
    ("postgres", "postgresql://u:p@db.example.com/d?sslmode=verify-full"),
    ("rabbitmq", "amqp://u:p@LOCALHOST/"),
    ("rabbitmq", "amqps://u:p@mq.example.com/"),
    ("redis", "redis://:p@127.0.0.1/0"),
    ("redis", "rediss://:p@redis.example.com/0"),
    ("redis", "unix:///run/redis.sock"),
    ("postgres", "postgresql://u:p@localhost:5432,127.0.0.1:5433/d"),
    ("rabbitmq", "amqps://u:p@one.example.com,two.example.com:5673/"),
    ("redis", "rediss+sentinel://:p@one.example.com,two.example.com/main/0"),
    ("bitrix24", "http://127.0.0.1:3024/rest/1/code/"),
    ("bitrix24", "https://portal.example.com/rest/1/code/"),
)


def parse_as_client_of(peer: Peer, url: str) -> None:
    """Read the URL as the code that connects to this peer does."""
    if peer == "postgres":
        servers.cache_clear()  # a process reads its settings once
        Database(url)
    elif peer == "rabbitmq":
        connection.parameters(url)
    elif peer == "redis":
        connect(url)
    else:
        WebhookUrl.parse(url)


@pytest.mark.parametrize(("peer", "url"), IN_CLEAR)
def test_a_cleartext_address_is_rejected_with_instructions(peer: Peer, url: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse_as_client_of(peer, url)
    text = str(caught.value)
    assert "LEADLINE_CLEARTEXT" in text
    assert peer in text
    assert "hunter2" not in text
    assert "example" not in text


@pytest.mark.parametrize(("peer", "url"), IN_CLEAR)
def test_a_setting_exempts_only_the_peer_that_it_names(
    peer: Peer, url: str, configure: Configure
) -> None:
    configure(cleartext=f" otlp, {peer}")
    parse_as_client_of(peer, url)
    configure(cleartext="otlp,functions")
    with pytest.raises(BadConfiguration):
        parse_as_client_of(peer, url)


@pytest.mark.parametrize(("peer", "url"), SAFE)
def test_tls_and_loopback_need_no_setting(peer: Peer, url: str) -> None:
    parse_as_client_of(peer, url)


def test_an_unknown_peer_cannot_be_exempted(configure: Configure) -> None:
    configure(cleartext="everything")
    with pytest.raises(ValidationError):
        settings()


def test_the_connector_posts_nothing_in_cleartext(configure: Configure) -> None:
    with pytest.raises(BadConfiguration, match="functions"):
        Connector("amqp://127.0.0.1/", "bitrix_queue", "http://bitrix-handler:8080/")
    configure(cleartext="functions")
    Connector("amqp://127.0.0.1/", "bitrix_queue", "http://bitrix-handler:8080/")


def test_the_schedule_calls_no_function_in_cleartext(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["schedule", "http://outbox-relay:8080", "--tick", "tick"])
    monkeypatch.setattr(schedule, "post", lambda _url: pytest.fail("the key was sent"))
    with pytest.raises(BadConfiguration, match="functions"):
        schedule.main()


@pytest.mark.parametrize(
    "name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
)
def test_no_trace_is_exported_in_cleartext(
    name: str, monkeypatch: pytest.MonkeyPatch, configure: Configure
) -> None:
    monkeypatch.setenv(name, "http://collector.example.com:4318")
    process.forget(tracing.is_enabled)
    with pytest.raises(BadConfiguration, match="otlp"):
        tracing.is_enabled()
    configure(cleartext="otlp")
    assert tracing.is_enabled()
    process.forget(tracing.is_enabled)


@pytest.mark.parametrize(
    "variable", ["DATABASE_URL", "AMQP_URL", "REDIS_URL", "BITRIX_WEBHOOK_URL"]
)
def test_the_local_run_does_not_start_with_a_cleartext_server(variable: str) -> None:
    schemes = {"DATABASE_URL": "postgresql", "AMQP_URL": "amqp", "REDIS_URL": "redis"}
    url = f"{schemes.get(variable, 'http')}://u.example.com/rest/1/code/"
    with pytest.raises(BadConfiguration, match="without TLS"):
        Choices.read({variable: url})


def test_an_invalid_url_is_not_quoted() -> None:
    with pytest.raises(BadConfiguration) as caught:
        cleartext.require_tls("redis", "redis://:hunter2@[nowhere/0")
    assert str(caught.value) == "REDIS_URL is not a URL"
