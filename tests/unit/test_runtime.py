"""Secrets, settings and traces: the state of a process before it serves."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from leadline import process
from leadline.errors import BadConfiguration
from leadline.runtime import secrets
from leadline.runtime.telemetry import trace_context
from leadline.settings import settings
from tests.unit.conftest import Configure

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LEADLINE_SECRETS_DIR", str(tmp_path))
    return tmp_path


def test_a_secret_is_read_from_its_file_before_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "from environment")
    assert secrets.get("database-url") == "from environment"
    (folder / "database-url").write_text("from file\n")
    assert secrets.get("database-url") == "from file"


def test_a_secret_may_be_a_folder_of_its_own(folder: Path) -> None:
    (folder / "database-url").mkdir()
    (folder / "database-url" / "database-url").write_text(" nested ")
    assert secrets.get("database-url") == "nested"


def test_a_process_reads_the_secret_of_its_own_login_and_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (folder / "database-url").write_text("everybody's")
    (folder / "database-url-reader").write_text("the reader's")
    monkeypatch.setenv("DATABASE_URL", "from environment")
    monkeypatch.setenv("DATABASE_URL_FILE", "database-url-reader")
    assert secrets.get("database-url") == "the reader's"
    (folder / "database-url-reader").unlink()
    assert secrets.get("database-url") is None
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("of a whole path")
    monkeypatch.setenv("DATABASE_URL_FILE", str(elsewhere))
    assert secrets.get("database-url") == "of a whole path"


def test_a_rotated_secret_is_used_without_a_restart(folder: Path) -> None:
    (folder / "redis-url").write_text("old")
    assert secrets.get("redis-url") == "old"
    (folder / "redis-url").write_text("new")
    assert secrets.get("redis-url") == "new"


def test_a_missing_secret_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.listdir(folder) == []  # noqa: PTH208
    monkeypatch.setenv("AMQP_URL", "  ")
    assert secrets.get("amqp-url") is None
    with pytest.raises(BadConfiguration, match=r"AMQP_URL.*amqp-url"):
        secrets.require("amqp-url")


def test_a_secret_that_the_processes_user_may_not_read_is_an_error_of_its_own(folder: Path) -> None:
    """As with `faas-cli local-run`: its caller owns the folder, and the image has another user."""
    (folder / "amqp-url").write_text("amqp://mq/")
    user_id = os.geteuid()
    folder.chmod(0)
    try:
        if user_id == 0:
            os.seteuid(10001)  # as in the images
        with pytest.raises(BadConfiguration, match=r"user \d+ may not read .*amqp-url"):
            secrets.get("amqp-url")
    finally:
        os.seteuid(user_id)
        folder.chmod(0o700)


@pytest.mark.parametrize(
    "wrong",
    [
        {"auth": "maybe"},
        {"log": "xml"},
        {"log_level": "LOUD"},
        {"body_limit": "0"},
        {"queue_type": "lazy"},
        {"reply_envelope": "soap"},
        {"publish_grace_s": "0"},
        {"resend_after_s": "-1"},
        {"portal": "Main Portal"},
        {"originator_id": ""},
        {"originator_id": "x" * 256},
        {"rate_per_s": "-1"},
        {"burst": "2"},  # at least 3
        {"burst": "many"},
    ],
)
def test_an_invalid_setting_prevents_startup(configure: Configure, wrong: dict[str, str]) -> None:
    configure(**wrong)
    with pytest.raises(ValidationError):
        settings()


def test_the_originator_can_be_configured_or_left_to_the_database(configure: Configure) -> None:
    configure(originator_id="auto")
    assert settings().originator_id is None
    process.forget(settings)
    configure(originator_id="acme")
    assert settings().originator_id == "acme"


def test_the_defaults_are_safe() -> None:
    found = settings()
    assert (found.auth, found.log, found.queue_type) == ("on", "json", "quorum")
    assert (found.body_limit, found.rate_per_s, found.burst) == (65_536, 2, 50)
    assert found.allowed_reply_queues == {"bitrix.responses"}
    assert found.originator_id is None


def test_a_received_trace_is_continued() -> None:
    trace = trace_context.begin("call-1", TRACEPARENT)
    assert (trace.correlation_id, trace.traceparent) == ("call-1", TRACEPARENT)
    assert trace_context.current() == trace


def test_a_trace_without_a_correlation_id_is_identified_by_its_trace_id() -> None:
    assert trace_context.begin(None, TRACEPARENT).correlation_id == TRACEPARENT[3:35]


@pytest.mark.parametrize(
    "odd",
    ["", "x", TRACEPARENT.upper(), TRACEPARENT + "-1", "ff" + TRACEPARENT[2:], TRACEPARENT[:-1]],
)
def test_a_malformed_traceparent_is_replaced(odd: str) -> None:
    traceparent = trace_context.begin("call-1", odd).traceparent
    assert traceparent != odd
    assert [len(part) for part in traceparent.split("-")] == [2, 32, 16, 2]


@given(st.text(), st.text())
def test_any_received_trace_can_be_carried_by_amqp_and_http(call: str, parent: str) -> None:
    trace = trace_context.begin(call, parent)
    for text in (trace.correlation_id, trace.traceparent):
        assert 1 <= len(text.encode("latin-1")) <= 255
        assert text.isprintable()
        assert text.isascii()
