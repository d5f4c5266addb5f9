"""Choices for a local run: invalid ones are rejected before anything starts."""

import pytest

from leadline.errors import BadConfiguration
from local.runner.choices import Choices

WEBHOOK = "https://portal.example/rest/1/code/"


@pytest.mark.parametrize("webhook", ["", WEBHOOK])
def test_a_webhook_is_used_unchanged(webhook: str) -> None:
    assert Choices.read({"BITRIX_WEBHOOK_URL": webhook}).webhook_url == (webhook or None)


@pytest.mark.parametrize(
    "webhook", ["secret-code", "https://", "https://portal.example/secret-code"]
)
def test_an_invalid_webhook_is_rejected_and_not_quoted(webhook: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        Choices.read({"BITRIX_WEBHOOK_URL": webhook})
    assert "secret-code" not in str(refused.value)
