"""Unit tests run without the environment of the machine."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from leadline import process
from leadline.runtime.telemetry import trace_context
from leadline.settings import settings

SECRETS = (
    "API_KEYS",
    "INTERNAL_KEY",
    "DATABASE_URL",
    "AMQP_URL",
    "REDIS_URL",
    "BITRIX_WEBHOOK_URL",
)

Configure = Callable[..., None]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("LEADLINE_") or name in SECRETS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("LEADLINE_SECRETS_DIR", str(tmp_path / "no-secrets"))
    with process.fresh():
        yield
    trace_context._current.set(None)  # noqa: SLF001 - as a new thread has it
    trace_context.set_caller("")
    structlog.reset_defaults()


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Set `LEADLINE_*` variables and reload the settings."""

    def set_variables(**variables: str) -> None:
        for name, text in variables.items():
            monkeypatch.setenv(f"LEADLINE_{name.upper()}", text)
        process.forget(settings)

    return set_variables
