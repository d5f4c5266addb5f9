"""Choices for a local run: invalid ones are rejected before anything starts."""

import pytest

from leadline.errors import BadConfiguration
from local.runner.choices import Choices

WEBHOOK = "https://portal.example/rest/1/code/"


@pytest.mark.parametrize("given", ["", WEBHOOK])
def test_a_webhook_is_used_unchanged(given: str) -> None:
    assert Choices.read({"BITRIX_WEBHOOK_URL": given}).webhook_url == (given or None)


@pytest.mark.parametrize("given", ["secret-code", "https://", "https://portal.example/secret-code"])
def test_an_invalid_webhook_is_rejected_and_not_quoted(given: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        Choices.read({"BITRIX_WEBHOOK_URL": given})
    assert "secret-code" not in str(refused.value)
